"""Who takes part, and the process of one of them: python -m benchmarks.whisper.contenders NAME train|evaluate SETTING.

A contender's module holds two functions, called in a process of their own:

    train(name, setting, benchmark)      its training loop, held by a Gate
    evaluate(name, setting, benchmark)   ready(), then answers to {"do": "evaluate"}, see protocol.py

and both start from the untrained weights in `setting.model`. Nothing heavy is imported here, so that the time to the
first step is the contender's own.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.whisper.flops import FULL, LORA, Passes
from benchmarks.whisper.protocol import standard_streams
from benchmarks.whisper.setting import read_setting


@dataclass(frozen=True)
class Entry:
    """One who takes part."""

    what: str
    module: str
    passes: Passes
    """What of the network its training goes through: the useful work that its share of the device's peak is of."""
    warm_up_epochs: int = 0
    """Passes over the speech before the first block, where later ones differ from the first."""


CONTENDERS = {
    "guide": Entry(
        "the guides' script as it stands: checkpointing, fp16 on CUDA and else fp32, Python lists, no workers",
        "benchmarks.whisper.reference",
        FULL,
    ),
    "strong": Entry(
        "the same script with what its libraries offer: no checkpointing, bf16 where native, tensors, workers",
        "benchmarks.whisper.reference",
        FULL,
    ),
    "peft": Entry(
        "strong with PEFT's recipe for Whisper: LoRA of q_proj and v_proj, r 32, dropout 0.05, checkpointing",
        "benchmarks.whisper.reference",
        LORA,
    ),
    "padded": Entry("eartune, window padded, all weights", "benchmarks.whisper.ours", FULL),
    "packed": Entry("eartune, window packed, all weights", "benchmarks.whisper.ours", FULL),
    "short": Entry("eartune, window short, all weights", "benchmarks.whisper.ours", FULL),
    "frozen_cached": Entry(
        "eartune, window short, decoder only, the encoder's states kept",
        "benchmarks.whisper.ours",
        Passes(0, 3),
        warm_up_epochs=1,
    ),
    "lora": Entry("eartune, window short, PEFT's recipe without dropout", "benchmarks.whisper.ours", LORA),
    "default": Entry("eartune, nothing chosen but to tune all weights", "benchmarks.whisper.ours", FULL),
}


def main() -> None:
    name, job, setting = sys.argv[1:]
    benchmark = standard_streams()
    module = importlib.import_module(CONTENDERS[name].module)
    getattr(module, job)(name, read_setting(Path(setting)), benchmark)


if __name__ == "__main__":
    main()
