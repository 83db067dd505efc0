"""What the loss is compared with: all paths one by one, and problems of a size that allows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from eartune.families.parakeet.transducer import transducer_losses

WIDTH, VOCABULARY, BLANK = 6, 5, 4


@dataclass(frozen=True)
class Problem:
    encoder: torch.Tensor
    decoder: torch.Tensor
    head: nn.Module
    targets: torch.Tensor
    frames: torch.Tensor
    tokens: torch.Tensor
    durations: tuple[int, ...] | None

    def losses(self, **options: float) -> torch.Tensor:
        return transducer_losses(
            self.encoder, self.decoder, self.head, self.targets, self.frames, self.tokens,
            blank=BLANK, num_vocabulary=VOCABULARY, durations=self.durations, **options,
        )  # fmt: skip

    def logits(self) -> torch.Tensor:
        return self.head(torch.relu(self.encoder[:, :, None] + self.decoder[:, None]))  # type: ignore[no-any-return]

    def leaves(self) -> list[torch.Tensor]:
        return [self.encoder, self.decoder, *self.head.parameters()]

    def clip(self, row: int) -> Problem:
        """One clip alone, without padding."""
        frames, tokens = int(self.frames[row]), int(self.tokens[row])
        return replace(
            self,
            encoder=self.encoder[row : row + 1, :frames],
            decoder=self.decoder[row : row + 1, : tokens + 1],
            targets=self.targets[row : row + 1, :tokens],
            frames=self.frames[row : row + 1],
            tokens=self.tokens[row : row + 1],
        )


def problem(
    frames: Sequence[int],
    tokens: Sequence[int],
    durations: tuple[int, ...] | None,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Problem:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    head = nn.Linear(WIDTH, VOCABULARY + len(durations or ()), dtype=dtype)
    head.weight, head.bias = (nn.Parameter(2 * draw(*parameter.shape).detach()) for parameter in head.parameters())
    return Problem(
        encoder=draw(len(frames), max(frames), WIDTH),
        decoder=draw(len(frames), max(tokens) + 1, WIDTH),
        head=head,
        targets=torch.randint(0, BLANK, (len(frames), max(tokens)), generator=generator),
        frames=torch.tensor(frames),
        tokens=torch.tensor(tokens),
        durations=durations,
    )


def losses_of_all_paths(given: Problem, *, sigma: float = 0.0) -> torch.Tensor:
    """Add up the probabilities of all paths of each clip, walked one by one."""
    logits = given.logits()
    token_log_probs = logits[..., :VOCABULARY].log_softmax(-1) - sigma
    duration_log_probs = logits[..., VOCABULARY:].log_softmax(-1)

    def walk(row: int, frame: int, written: int) -> Iterator[torch.Tensor]:
        frames, tokens = int(given.frames[row]), int(given.tokens[row])
        here, lasting = token_log_probs[row, frame, written], duration_log_probs[row, frame, written]
        steps: list[tuple[int, int, torch.Tensor]] = []
        if given.durations is None:
            steps += [(frame + 1, written, here[BLANK])]
            steps += [(frame, written + 1, here[given.targets[row, written]])] if written < tokens else []
        for number, duration in enumerate(given.durations or ()):
            if duration > 0:
                steps += [(frame + duration, written, here[BLANK] + lasting[number])]
            if written < tokens:
                token = here[given.targets[row, written]]
                steps += [(frame + duration, written + 1, token + lasting[number])]
        for next_frame, next_written, score in steps:
            if next_frame < frames:
                yield from (score + rest for rest in walk(row, next_frame, next_written))
            elif next_frame == frames and next_written == written == tokens:
                yield score

    totals = [list(walk(row, 0, 0)) for row in range(len(given.frames))]
    nowhere = logits.new_tensor(-torch.inf)
    return torch.stack([-torch.stack(scores).logsumexp(0) if scores else -nowhere for scores in totals])
