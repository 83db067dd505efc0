"""One run of NeMo's: `python -m benchmarks.finetuning.theirs RUN.json`, as in its tutorials on fine-tuning.

The model is restored, given a manifest and an optimiser, and `trainer.fit` is called. NeMo writes no checkpoint here,
and validates nothing, as eartune has nothing to validate on either.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

_BEGAN = time.perf_counter()

import lightning.pytorch  # noqa: E402  the imports are timed
import nemo.collections.asr  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402

_IMPORT_SECONDS = time.perf_counter() - _BEGAN

from benchmarks.finetuning.clock import Clock  # noqa: E402

# as eartune has them
LEARNING_RATE, GRADIENT_NORM = 1e-5, 1.0


class Steps(lightning.pytorch.Callback):  # type: ignore[misc]
    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_batch_start(self, *_: Any, **__: Any) -> None:
        self.clock.begin()

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        self.clock.end_step()


def main(run: dict[str, Any]) -> None:
    """Train one pass over the manifest, in its order."""
    clock = Clock(run["started"], import_seconds=_IMPORT_SECONDS)
    model = nemo.collections.asr.models.ASRModel.restore_from(run["model"], map_location="cpu")
    # Lightning leaves the mode as it is
    model.train()
    trainer = lightning.pytorch.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        gradient_clip_val=GRADIENT_NORM,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[Steps(clock)],
        default_root_dir=run["folder"],
    )
    model.set_trainer(trainer)
    model.setup_training_data(OmegaConf.create(data(run)))
    model.setup_optimization(OmegaConf.create({"name": "adamw", "lr": LEARNING_RATE, "weight_decay": 0.0}))
    trainer.fit(model)
    clock.write(Path(run["folder"]) / "noted.json")


def data(run: dict[str, Any]) -> dict[str, Any]:
    """Return `train_ds`; Canary's has to go through lhotse."""
    common = {
        "manifest_filepath": run["manifest"],
        "sample_rate": 16000,
        "batch_size": run["batch_size"],
        "shuffle": False,
        "num_workers": 0,
        "pin_memory": False,
        "max_duration": 40.0,
    }
    if run["kind"] != "canary":
        return common
    return common | {
        "use_lhotse": True,
        "use_bucketing": False,
        "text_field": "text",
        "lang_field": "target_lang",
        "drop_last": False,
    }


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
