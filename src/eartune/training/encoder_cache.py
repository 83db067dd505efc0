"""Cached outputs of a frozen encoder, each computed once.

States are keyed by the content of the clip, the encoder's weights and the width of the window, so that no stale state
is read. P positions of 20 ms, D model width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import torch
from torch import nn

from eartune.errors import EartuneError, InputError
from eartune.manifest import Utterance
from eartune.model import SpeechModel, SupportsEncoderCache, block_of
from eartune.reporting import Reporter
from eartune.training.batching.batches import Batch
from eartune.training.batching.plan import MicroBatch, Step
from eartune.training.device import Precision, autocast
from eartune.training.encoder_states import EncoderStates, gigabytes, open_store

# change it whenever features or states change for the same clip and weights
FORMAT = "1"


class Keys:
    """Computes the keys of a run; the encoder's weights and each file are hashed once."""

    def __init__(self, encoder: nn.Module, *, arithmetic: str) -> None:
        digest = hashlib.blake2b(f"{FORMAT} {arithmetic}".encode(), digest_size=32)
        for name, weight in sorted(encoder.state_dict().items()):
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
            digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        self.encoder = digest.digest()
        self.files: dict[Path, bytes] = {}

    def key(self, utterance: Utterance, width_s: float) -> str:
        content = self.files.get(utterance.audio)
        if content is None:
            with utterance.audio.open("rb") as stream:
                content = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=32)).digest()
            self.files[utterance.audio] = content
        place = f"{utterance.offset_s:.6f} {utterance.duration_s:.6f} {width_s:.6f} {utterance.channel}"
        return hashlib.blake2b(self.encoder + content + place.encode(), digest_size=20).hexdigest()


class EncoderCache:
    """Returns the states of a batch: from the store, or computed and then stored."""

    def __init__(self, store: EncoderStates, keys: Keys, utterances: Sequence[Utterance]) -> None:
        self.store = store
        self.keys = keys
        self.utterances = utterances

    def with_keys(self, steps: Iterable[Step]) -> Iterator[Step]:
        """Add keys to each batch of single clips, and mark the batches whose states are all stored by then."""
        for step in steps:
            yield [self._with_keys(batch) for batch in step]

    def _with_keys(self, batch: MicroBatch) -> MicroBatch:
        if any(len(window.clips) != 1 or window.input_s != batch.width_s for window in batch.windows):
            return batch
        clips = [self.utterances[window.clips[0].index] for window in batch.windows]
        keys = tuple(self.keys.key(utterance, batch.width_s) for utterance in clips)
        return replace(batch, keys=keys, all_cached=all(key in self.store for key in keys))

    def states(self, batch: Batch, compute: Callable[[Batch], torch.Tensor]) -> torch.Tensor:
        """Return the states [B, P, D] of a batch with keys, in bf16."""
        found = [state for state in map(self.store.get, batch.keys) if state is not None]
        if len(found) == len(batch.keys):
            return torch.stack(found)
        if batch.waveforms is None:
            raise EartuneError(f"encoder states were removed from {self.store.where}; run the command again")
        states_BPD = compute(batch).to(torch.bfloat16)
        for key, state_PD in zip(batch.keys, states_BPD.cpu(), strict=True):
            self.store.put(key, state_PD.clone())
        return states_BPD


def open_cache(
    wanted: bool | Literal["memory", "disk"],
    model: SpeechModel,
    utterances: Sequence[Utterance],
    *,
    plan: Iterable[Step],
    precision: Precision,
    report: Reporter,
) -> EncoderCache:
    """Open the cache of a run and report its size, computed from the plan of an epoch.

    Raises InputError if the encoder is trained, and EartuneError if memory or disk is too small.
    """
    encoder = block_of(model.network, model.blocks.encoder)
    trained = [name for name, parameter in encoder.named_parameters() if parameter.requires_grad]
    if trained:
        raise InputError(
            f"cache_encoder: {len(trained)} parameters of the encoder are trained, such as {trained[0]}; "
            "set freeze_encoder true, or cache_encoder false"
        )
    input_s_total = sum(
        batch.input_s_total for step in plan for batch in step if all(len(w.clips) == 1 for w in batch.windows)
    )
    device = next(model.network.parameters()).device
    with torch.no_grad(), autocast(device, precision):
        second_1S = torch.zeros(1, 16_000, device=device)
        second_1PD = cast(SupportsEncoderCache, model).encode(
            model.features(second_1S, torch.tensor([16_000], device=device), 1.0)
        )
    num_bytes = round(input_s_total * 2 * second_1PD.numel())
    store = open_store(wanted, num_bytes=num_bytes)
    report.line(f"cache_encoder: {gigabytes(num_bytes)} of encoder states in {store.where}")
    return EncoderCache(store, Keys(encoder, arithmetic=precision), utterances)
