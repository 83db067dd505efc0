"""The transducer's loss beside transformers' and NeMo's: python benchmarks/transducer_loss.py [--shapes 16x5 4x20].

A shape is clips x seconds, at 12.5 frames and 3 tokens a second. Each contender computes the losses and the gradients
of the encoder's and decoder's states and of the head, in turn; the median of the rounds counts. The clips' states are
random, or, with --learned N, trained for N steps first, as those of a model that knows where the tokens are.
NeMo's RNN-T runs where NeMo is installed. Prints a table and saves runs/bench/transducer_loss.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from transformers.loss.loss_tdt import tdt_loss

if __name__ == "__main__":
    # instead of this folder, where `whisper` would hide OpenAI's package of that name
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.whisper.machine import describe_machine, host_peak_bytes
from eartune.families.parakeet.transducer import transducer_losses

FRAMES_PER_S, TOKENS_PER_S = 12.5, 3
NUM_VOCABULARY, WIDTH, DURATIONS = 8193, 640, (0, 1, 2, 3, 4)
BLANK = NUM_VOCABULARY - 1


@dataclass(frozen=True)
class Problem:
    encoder: torch.Tensor
    decoder: torch.Tensor
    head: nn.Linear
    targets: torch.Tensor
    frames: torch.Tensor
    tokens: torch.Tensor

    def logits(self) -> torch.Tensor:
        logits: torch.Tensor = self.head(torch.relu(self.encoder[:, :, None] + self.decoder[:, None]))
        return logits

    def clear(self) -> None:
        for leaf in (self.encoder, self.decoder, *self.head.parameters()):
            leaf.grad = None


def make_problem(num_clips: int, seconds: float, device: torch.device) -> Problem:
    torch.manual_seed(0)
    frames, tokens = int(seconds * FRAMES_PER_S), int(seconds * TOKENS_PER_S)
    return Problem(
        encoder=torch.randn(num_clips, frames, WIDTH, device=device, requires_grad=True),
        decoder=torch.randn(num_clips, tokens + 1, WIDTH, device=device, requires_grad=True),
        head=nn.Linear(WIDTH, NUM_VOCABULARY + len(DURATIONS), device=device),
        targets=torch.randint(0, BLANK, (num_clips, tokens), device=device),
        frames=torch.full((num_clips,), frames, device=device),
        tokens=torch.full((num_clips,), tokens, device=device),
    )


def ours(problem: Problem, durations: tuple[int, ...] | None) -> torch.Tensor:
    return transducer_losses(
        problem.encoder, problem.decoder, problem.head, problem.targets, problem.frames, problem.tokens,
        blank=BLANK, num_vocabulary=NUM_VOCABULARY, durations=durations,
    )  # fmt: skip


def ours_tdt(problem: Problem) -> torch.Tensor:
    return ours(problem, DURATIONS)


def ours_rnnt(problem: Problem) -> torch.Tensor:
    return ours(problem, None)


def transformers_tdt(problem: Problem) -> torch.Tensor:
    logits = problem.logits()
    losses: torch.Tensor = tdt_loss(
        logits[..., :NUM_VOCABULARY], logits[..., NUM_VOCABULARY:], problem.targets, problem.frames, problem.tokens,
        BLANK, list(DURATIONS), reduction="none",
    )  # fmt: skip
    return losses


def nemo_rnnt(problem: Problem) -> torch.Tensor:
    from nemo.collections.asr.losses.rnnt import resolve_rnnt_loss  # noqa: PLC0415  a slow import, only where it is
    from nemo.core.classes import typecheck  # noqa: PLC0415

    loss = resolve_rnnt_loss("warprnnt_numba", blank_idx=BLANK, loss_kwargs={})
    with typecheck.disable_checks():
        losses: torch.Tensor = loss(
            acts=problem.logits()[..., :NUM_VOCABULARY].float().contiguous(),
            labels=problem.targets,
            act_lens=problem.frames,
            label_lens=problem.tokens,
        )
    return losses


def contenders() -> dict[str, Callable[[Problem], torch.Tensor]]:
    found: dict[str, Callable[[Problem], torch.Tensor]] = {
        "eartune TDT": ours_tdt,
        "transformers TDT": transformers_tdt,
        "eartune RNN-T": ours_rnnt,
    }
    if importlib.util.find_spec("nemo") is not None:
        found["NeMo RNN-T (numba)"] = nemo_rnnt
    return found


@dataclass(frozen=True)
class Measured:
    shape: str
    contender: str
    seconds: float
    peak_mib: float
    """beyond what is there before"""
    loss: float


def measure(problem: Problem, loss: Callable[[Problem], torch.Tensor], *, bf16: bool) -> tuple[float, float, float]:
    """Return seconds, peak memory in MiB beyond the problem's own and the mean loss."""
    device = problem.encoder.device
    problem.clear()
    before = _reset_peak(device)
    began = time.perf_counter()
    with torch.autocast(device.type, dtype=torch.bfloat16) if bf16 else nullcontext():
        losses = loss(problem)
    torch.autograd.backward(losses.sum())
    if device.type == "cuda":
        torch.cuda.synchronize()
    took_s = time.perf_counter() - began
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else host_peak_bytes() or 0
    return took_s, (peak - before) / 2**20, float(losses.detach().mean())


def _reset_peak(device: torch.device) -> int:
    """Forget the most memory there has been; return what there is."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    # Linux: sets VmHWM to what is resident now
    Path("/proc/self/clear_refs").write_text("5")
    return host_peak_bytes() or 0


def learn(problem: Problem, *, num_steps: int) -> None:
    """Train the states until the text is likely along few paths."""
    optimizer = torch.optim.Adam([problem.encoder, problem.decoder, *problem.head.parameters()], lr=0.02)
    for _ in range(num_steps):
        optimizer.zero_grad()
        torch.autograd.backward(ours_tdt(problem).mean())
        optimizer.step()


def compare(shape: str, device: torch.device, *, rounds: int, learned: int, bf16: bool) -> list[Measured]:
    num_clips, seconds = shape.split("x")
    problem = make_problem(int(num_clips), float(seconds), device)
    learn(problem, num_steps=learned)
    runs: dict[str, list[tuple[float, float, float]]] = {name: [] for name in contenders()}
    # the first round only warms up
    for number in range(rounds + 1):
        for name, loss in contenders().items():
            figures = measure(problem, loss, bf16=bf16)
            if number > 0:
                runs[name].append(figures)
    return [Measured(shape, name, *map(statistics.median, zip(*of, strict=True))) for name, of in runs.items()]


def show(results: Iterable[Measured]) -> None:
    table = Table("shape", "loss", "s", "MiB", "mean loss")
    for row in results:
        table.add_row(row.shape, row.contender, f"{row.seconds:.3f}", f"{row.peak_mib:.0f}", f"{row.loss:.3f}")
    Console().print(table)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", default=["16x5", "4x20"], metavar="CLIPSxSECONDS")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--learned", type=int, default=0, metavar="STEPS")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path("runs/bench/transducer_loss.json"))
    given = parser.parse_args(arguments)
    results: list[Measured] = []
    for shape in given.shapes:
        results += compare(
            shape, torch.device(given.device), rounds=given.rounds, learned=given.learned, bf16=given.bf16
        )
    show(results)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "machine": describe_machine(),
        "settings": {"rounds": given.rounds, "learned": given.learned, "bf16": given.bf16},
        "results": [asdict(row) for row in results],
    }
    given.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
