"""The contract between a model family and everything that trains, scores or saves a model.

Letters in tensor names: B batch, S samples, T frames, M mel bins, U tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from eartune.audio import SAMPLE_RATE_HZ
from eartune.manifest import Segment, Utterance
from eartune.ops.spec_augment import SpecAugment
from eartune.ops.widths import widened_s

Waveform = npt.NDArray[np.float32]
# Any: a network of transformers, bare or wrapped by PEFT; neither library describes its types
Network: TypeAlias = Any
WindowKind: TypeAlias = Literal["padded", "short"]
Purpose: TypeAlias = Literal["training", "decoding"]

# step of the widths of encoder inputs, in seconds
WIDTH_STEP_S = 0.32


@dataclass(frozen=True)
class EncoderWindow:
    """Limits of the encoder's input, in seconds and tokens."""

    max_s: float
    """The longest clip."""
    position_s: float
    """One position of the encoder, and the step of timestamps."""
    max_tokens: int
    """The maximum for the transcripts of one window together."""
    is_fixed: bool = False
    """Whether the model was trained on windows of `max_s` only; else clips are padded to the longest of a batch."""
    silence_s: float = 0.0
    """Least silence after a clip in a short window."""

    def width_s(self, longest_s: float, window: WindowKind = "padded") -> float:
        """Return the width of the encoder's input for a batch with this longest clip, in seconds."""
        if self.is_fixed and window == "padded":
            return self.max_s
        return widened_s(longest_s + self.silence_s, step_s=WIDTH_STEP_S, most_s=self.max_s)


class Languages(NamedTuple):
    """Languages of an utterance; None where nothing tells."""

    decoding: str | None
    """The one it is decoded in: its own, the run's, or the model's only one."""
    text: str | None
    """The one its transcript is written and scored in: of a translation, the target's."""


@dataclass(frozen=True)
class Labels:
    """Decoder inputs and targets, token by token; IGNORED targets carry no loss."""

    decoder_input_ids: list[int]
    targets: list[int]


@dataclass(frozen=True, slots=True)
class PlacedUtterance:
    """An utterance, by its index, and its start and end in a window, in seconds."""

    index: int
    start_s: float
    end_s: float


class Transcripts(Protocol):
    """The tokenised transcripts of utterances: small and without the model, so that they can be sent to workers."""

    def num_tokens(self, index: int) -> int:
        """Return the maximum number of tokens that one transcript takes in a shared window."""

    def language(self, index: int) -> str | None:
        """Return the language; only utterances of one language share a window."""

    def labels(self, placed: Sequence[PlacedUtterance], *, timestamps: bool) -> Labels:
        """Return the labels of one window, made of its transcripts, with or without timestamps."""


# cross-entropy's own ignore_index
IGNORED = -100


@dataclass(frozen=True)
class Blocks:
    """Names of modules in the network, for adapters, freezing and learning rates."""

    encoder: str
    # None where a head is all that follows the encoder (CTC)
    decoder: str | None
    # the lists of layers, from input to output; None where the decoder has none (CTC, prediction networks)
    encoder_layers: str
    decoder_layers: str | None
    # the modules that compute logits from the last states
    head: tuple[str, ...]
    default_targets: tuple[str, ...]
    # names of modules in other tools -> their names here
    target_aliases: dict[str, str]
    # modules that must not be adapted, with the reason
    forbidden_targets: dict[str, str]
    # modules extended by rows for new tokens: trained in full with every method
    extended: tuple[str, ...] = ()
    # convolutions on raw samples, frozen unless the user says otherwise
    feature_encoder: str | None = None
    # layers for one language in the encoder's layers
    language_adapters: tuple[str, ...] = ()


@dataclass(frozen=True)
class DecodeOptions:
    """Decoding options of a batch: the maximum length of a text in tokens, beams, and the window of the encoder.

    A window is the full one of the model, or a short one, of the batch's longest clip and a little silence. As in
    openai-whisper, a Whisper returns an empty text if it detects no speech (`no_speech`), and decodes a text that
    repeats itself again at higher temperatures (`fallback`).
    """

    max_length: int = 225
    num_beams: int = 1
    window: WindowKind = "padded"
    no_speech: bool = True
    fallback: bool = False


def block_of(network: Network, name: str) -> nn.Module:
    """Return the module called `name` (a name in Blocks, or one within it), inside any wrapper."""
    found: nn.Module = next(module for full, module in network.named_modules() if f".{full}".endswith(f".{name}"))
    return found


def pad_waveforms(waveforms: Sequence[Waveform]) -> torch.Tensor:
    """Stack waveforms into [B, S], zeros after the shorter ones."""
    padded_BS = torch.zeros(len(waveforms), max(len(waveform) for waveform in waveforms))
    for row_S, waveform in zip(padded_BS, waveforms, strict=True):
        row_S[: len(waveform)] = torch.from_numpy(np.ascontiguousarray(waveform))
    return padded_BS


def probe_clips() -> list[Waveform]:
    """Return two fixed clips of noise of different lengths, to compare two versions of a network by."""
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 2 * SAMPLE_RATE_HZ)).astype(np.float32)
    return [noise[0], noise[1][: SAMPLE_RATE_HZ * 3 // 2]]


class SpeechModel(Protocol):
    """A loaded model of some family, with its tokenizer and its feature extraction."""

    family: str
    network: Network
    blocks: Blocks
    window: EncoderWindow

    def findings(self, utterances: Sequence[Utterance], purpose: Purpose = "training") -> list[str | None]:
        """Return for each utterance the reason why the model cannot be trained on it or decode it, or None."""

    def describe_texts(self, utterances: Sequence[Utterance]) -> str | None:
        """Return a line on how the tokenizer covers the training texts, if that differs between models.

        Raises InputError if it does not cover them.
        """

    def remarks(self, utterances: Sequence[Utterance]) -> list[str]:
        """Return remarks on odd utterances without findings, and on how the model is trained on them."""

    def languages(self, utterance: Utterance) -> Languages:
        """Return the languages an utterance is decoded and written in."""

    def transcripts(self, utterances: Sequence[Utterance]) -> Transcripts:
        """Tokenise the transcripts of utterances without findings."""

    def features(
        self,
        waveforms_BS: torch.Tensor,
        samples_B: torch.Tensor,
        window_s: float | None = None,
        augment: SpecAugment | None = None,
    ) -> dict[str, torch.Tensor]:
        """Compute the encoder's inputs on the tensors' device from zero-padded 16 kHz mono waveforms of some lengths.

        They have the names that the network has for them. `window_s` is the width of the encoder input; by default
        `window.width_s` of the longest clip. `augment` masks parts of the inputs, in training.
        """

    def summed_loss(
        self, batches: Sequence[Mapping[str, torch.Tensor]], *, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        """Sum the loss over all target tokens, in float32; batches may differ in width and length.

        A batch holds the encoder's inputs or its states (`encoder_states`), `decoder_input_ids` [B, U], and for its N
        target tokens their positions in the flattened [B * U] (`target_positions`), their ids (`targets`) and their
        number in each row (`target_lengths`). Inputs beyond the last target of a row are never read.
        """

    def transcribe_batch(
        self, waveforms: Sequence[Waveform], utterances: Sequence[Utterance], options: DecodeOptions
    ) -> list[str]:
        """Decode clips that fit into one window; their utterances provide the language and the other keys."""

    def transcribe_long(self, waveform: Waveform, utterance: Utterance) -> list[Segment]:
        """Decode a recording of any length into segments with times."""

    def probe_inputs(self) -> dict[str, torch.Tensor]:
        """Return a fixed batch for the network's forward, to compare two versions of it by their logits."""

    def save(self, folder: Path, *, weights: bool = True) -> None:
        """Write a Hugging Face model folder: network, tokenizer, feature and generation settings.

        Without `weights`, write only the files beside them.
        """


class SupportsEncoderCache(SpeechModel, Protocol):
    """A model whose frozen encoder's outputs can be cached: of families that do not refuse `cache_encoder`."""

    def encode(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Run the encoder: its inputs -> states [B, P, D], which `summed_loss` takes as `encoder_states`."""
