"""Contenders started one after another, and then measured in turns: A B C, C B A, A B C, ...

Each is a process of its own. While one works the others wait; what else the machine does falls on all of them alike.
Loading processes read ahead while their contender waits, up to two batches each: where loading is the limit, blocks
have to be much longer than that.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchmarks.whisper.contenders import CONTENDERS
from benchmarks.whisper.figures import Block, Measured
from benchmarks.whisper.protocol import Contender, Message
from benchmarks.whisper.setting import Setting

ROOT = Path(__file__).resolve().parents[2]
WARM_UP_CLIPS = 2
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int
    steps_per_block: int
    block_seconds: float
    """A contender that is faster gets more steps, until its blocks take about as long as this."""
    warm_up_steps: int
    """At least 1: what comes before the first block."""
    evaluation_rounds: int
    threads: int | None


def measure_training(
    names: Sequence[str], setting: Setting, plan: Plan, measured: dict[str, Measured], say: Say
) -> None:
    with ExitStack() as stack:
        running: dict[str, Contender] = {}
        steps: dict[str, int] = {}
        for name in names:
            running[name] = stack.enter_context(_start(name, "train", setting, plan))
            epoch_steps = math.ceil(len(setting.rows("train")) / setting.clips_per_step)
            warm_up_steps = plan.warm_up_steps + CONTENDERS[name].warm_up_epochs * epoch_steps
            steps[name] = _begin(running[name], plan, warm_up_steps, measured[name])
            say(f"{name}: first step after {measured[name].first_step_begins_s:.1f} s; {steps[name]} steps a block")
        for name in turns(names, plan.rounds):
            answer = running[name].ask("train", steps=steps[name])
            block = _block(answer["steps"], answer)
            measured[name].training.append(block)
            say(f"{name}: {block.count} steps, {_times(block)}, {block.speed:.1f} h of audio in an hour")
        for name in names:
            measured[name].training_report = _report(running[name])


def measure_evaluation(
    names: Sequence[str], setting: Setting, plan: Plan, measured: dict[str, Measured], say: Say
) -> None:
    clips = len(setting.rows("test"))
    with ExitStack() as stack:
        running: dict[str, Contender] = {}
        for name in names:
            running[name] = stack.enter_context(_start(name, "evaluate", setting, plan))
            running[name].wait_until_ready()
            running[name].ask("evaluate", clips=min(WARM_UP_CLIPS, clips))
        for name in turns(names, plan.evaluation_rounds):
            answer = running[name].ask("evaluate", clips=clips)
            block = _block(answer["clips"], answer)
            measured[name].evaluation.append(block)
            measured[name].texts = answer["texts"]
            say(f"{name}: {clips} clips decoded, {_times(block)}")
        for name in names:
            measured[name].evaluation_report = _report(running[name])


def turns(names: Sequence[str], rounds: int) -> Iterator[str]:
    """Yield names forwards and backwards, so that a drift of the machine's speed falls on all alike."""
    for number in range(rounds):
        yield from names if number % 2 == 0 else reversed(names)


def _begin(contender: Contender, plan: Plan, warm_up_steps: int, measured: Measured) -> int:
    """Wait for the first step, warm up, and return how many steps a block of this contender has."""
    measured.first_step_begins_s = contender.wait_until_ready()
    answer = contender.ask("train", steps=1)
    measured.first_step_ends_s = measured.first_step_begins_s + answer["seconds"]
    if warm_up_steps > 1:
        contender.ask("train", steps=warm_up_steps - 1)
        answer = contender.ask("train", steps=1)
    step_seconds: float = answer["seconds"] / answer["steps"]
    return max(plan.steps_per_block, math.ceil(plan.block_seconds / step_seconds))


def _block(count: int, answer: Message) -> Block:
    return Block(count, answer["seconds"], answer["audio_seconds"], answer["processor_seconds"])


def _times(block: Block) -> str:
    return f"{block.seconds:.2f} s ({block.processor_seconds:.2f} s of processor)"


def _report(contender: Contender) -> dict[str, object]:
    report = contender.ask("report")
    return {name: value for name, value in report.items() if name != "event"}


def _start(name: str, job: Literal["train", "evaluate"], setting: Setting, plan: Plan) -> Contender:
    folder = setting.folder / f"{name}-{job}"
    folder.mkdir()
    description = folder.with_suffix(".json")
    own = replace(setting, folder=folder)
    description.write_text(json.dumps(own.to_json()), encoding="utf-8")
    environment = {
        **os.environ,
        # this clone, whatever is installed
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if plan.threads is not None:
        environment["OMP_NUM_THREADS"] = str(plan.threads)
    command = [sys.executable, "-m", "benchmarks.whisper.contenders", name, job, str(description)]
    return Contender(name, command, environment=environment, log=folder.with_suffix(".log"))
