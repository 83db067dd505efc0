"""Steps of an epoch, in the order of its plan, decoded ahead by workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from torch.utils.data import DataLoader, Sampler

from eartune.training.batching.batches import Batch, SpeechDataset
from eartune.training.batching.plan import Step

# (epoch) -> its plan
PlanOf = Callable[[int], Iterable[Step]]


class PlannedSteps(Sampler[Step]):
    """The plan of the current epoch, as a batch sampler: transformers skips what a continued run has seen."""

    def __init__(self, plan_of: PlanOf, num_steps: int) -> None:
        self.plan_of = plan_of
        self.num_steps = num_steps
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[Step]:
        return iter(self.plan_of(self.epoch))

    def __len__(self) -> int:
        return self.num_steps


class StepLoader(DataLoader[Batch]):
    """Gives each step as the list of its batches."""

    def __init__(
        self, dataset: SpeechDataset, plan_of: PlanOf, *, num_steps: int, num_workers: int, pin_memory: bool
    ) -> None:
        # a sampler over planned batches in place of indices: SpeechDataset takes those
        steps = PlannedSteps(plan_of, num_steps)
        super().__init__(
            dataset,
            batch_sampler=steps,
            collate_fn=list,
            num_workers=num_workers,
            pin_memory=pin_memory,
            # workers that persist draw random numbers once a run, not once an epoch: a continued run would differ
            persistent_workers=False,
        )
        self.steps = steps

    def set_epoch(self, epoch: int) -> None:
        self.steps.set_epoch(epoch)
