"""One run of eartune's: `python -m benchmarks.finetuning.ours RUN.json`, with the keys that command.py writes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_BEGAN = time.perf_counter()

from transformers import TrainerCallback  # noqa: E402  the imports are timed

from benchmarks.finetuning.clock import Clock  # noqa: E402
from benchmarks.finetuning.material import training_config  # noqa: E402
from eartune.verbs.train import train  # noqa: E402

_IMPORT_SECONDS = time.perf_counter() - _BEGAN


class Steps(TrainerCallback):  # type: ignore[misc]
    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.clock.begin()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.clock.end_step()


def main(run: dict[str, Any]) -> None:
    """Train one pass over the manifest."""
    clock = Clock(run["started"], import_seconds=_IMPORT_SECONDS)
    folder = Path(run["folder"])
    config = training_config(
        run["kind"], Path(run["model"]), Path(run["manifest"]), folder / "run", batch_size=run["batch_size"]
    )

    def watch(_: Any) -> Iterable[TrainerCallback]:
        return [Steps(clock)]

    train(config, watch=watch)
    clock.write(folder / "noted.json")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
