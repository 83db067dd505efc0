"""The contract between a model family and everything that trains, scores or saves a model.

Letters in tensor names: B batch, S samples, T frames, M mel bins, U tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from eartune.manifest import Segment, Utterance

Waveform = npt.NDArray[np.float32]
# Any: a network of transformers, bare or wrapped by PEFT; neither library describes its types
Network: TypeAlias = Any
WindowKind: TypeAlias = Literal["padded", "short"]


@dataclass(frozen=True)
class Labels:
    """Decoder inputs and targets, token by token; IGNORED targets carry no loss."""

    decoder_input_ids: list[int]
    targets: list[int]


@dataclass(frozen=True, slots=True)
class PlacedUtterance:
    """An utterance, by its index, and where it lies in a window, in seconds."""

    index: int
    start_s: float
    end_s: float


class Transcripts(Protocol):
    """The encoded transcripts of some utterances: small and without the model, so that workers can have them."""

    def num_tokens(self, index: int) -> int:
        """Return the most tokens that one transcript takes in a window it shares."""

    def language(self, index: int) -> str | None:
        """Return the language; only utterances of one language share a window."""

    def labels(self, placed: Sequence[PlacedUtterance], *, timestamps: bool) -> Labels:
        """Join the transcripts of one window, with or without their times."""


# cross-entropy's own ignore_index
IGNORED = -100


@dataclass(frozen=True)
class Blocks:
    """Names inside the network that adapters, freezing and learning rates speak of."""

    encoder: str
    # None where a head is all that follows the encoder (CTC)
    decoder: str | None
    # the lists of layers, from input to output; None where the decoder has none (CTC, prediction networks)
    encoder_layers: str
    decoder_layers: str | None
    # the modules that turn the last states into scores of tokens
    head: tuple[str, ...]
    default_targets: tuple[str, ...]
    # names other tools use for a module, and what it is called here
    target_aliases: dict[str, str]
    # modules that must not be adapted, with the reason
    forbidden_targets: dict[str, str]
    # modules that were given rows for new tokens: trained in full with every method
    extended: tuple[str, ...] = ()


@dataclass(frozen=True)
class DecodeOptions:
    """How a batch is decoded: the longest text in tokens, beams, and what the network gets to see of a clip.

    A window is the whole one the model was made for, or a short one, of the batch's longest clip and a little silence.
    Where a Whisper finds that nobody speaks its text is empty (`no_speech`), and a text that repeats itself is decoded
    again at higher temperatures (`fallback`), as openai-whisper does.
    """

    max_length: int = 225
    num_beams: int = 1
    window: WindowKind = "padded"
    no_speech: bool = True
    fallback: bool = False


def block_of(network: Network, name: str) -> nn.Module:
    """Return the module called `name` (a name in Blocks, or one within it), wherever a wrapper put it."""
    found: nn.Module = next(module for full, module in network.named_modules() if f".{full}".endswith(f".{name}"))
    return found


def pad_waveforms(waveforms: Sequence[Waveform]) -> torch.Tensor:
    """Stack waveforms into [B, S], zeros after the shorter ones."""
    padded_BS = torch.zeros(len(waveforms), max(len(waveform) for waveform in waveforms))
    for row_S, waveform in zip(padded_BS, waveforms, strict=True):
        row_S[: len(waveform)] = torch.from_numpy(np.ascontiguousarray(waveform))
    return padded_BS


class SpeechModel(Protocol):
    """A loaded model of some family, with its tokenizer and its features."""

    family: str
    network: Network
    blocks: Blocks
    max_duration_s: float
    # what the transcripts of one window may take together, and the grid of its times
    max_window_tokens: int
    timestamp_step_s: float
    # the axis of time in input_features
    time_axis: int

    def findings(self, utterances: Sequence[Utterance]) -> list[str | None]:
        """Say for each utterance why the model cannot be trained on it, or None."""

    def describe_texts(self, utterances: Sequence[Utterance]) -> str | None:
        """Say in a line how the tokenizer fits the texts to learn, where that differs between models.

        Raises InputError where it does not.
        """

    def remarks(self, utterances: Sequence[Utterance]) -> list[str]:
        """Say what is odd about utterances without findings, and how the model is trained on them all the same."""

    def language_of(self, utterance: Utterance) -> str | None:
        """Return the language an utterance is decoded in: its own, the run's, or the model's only one."""

    def text_language(self, utterance: Utterance) -> str | None:
        """Return the language an utterance's transcript is written and scored in: of a translation, the target's."""

    def transcripts(self, utterances: Sequence[Utterance]) -> Transcripts:
        """Encode the transcripts of utterances without findings."""

    def pad_token_id(self) -> int:
        """Return the token that fills decoder inputs."""

    def features(
        self, waveforms_BS: torch.Tensor, samples_B: torch.Tensor, window_s: float | None = None
    ) -> dict[str, torch.Tensor]:
        """Compute the encoder's inputs on the tensors' device from zero-padded 16 kHz mono waveforms of some lengths.

        They are `input_features`, and an `attention_mask` where the model tells speech from padding. `window_s` is
        what the model gets to see; by default the whole window it was made for, or the longest clip.
        """

    def encoder_input_s(self, longest_s: float, window: WindowKind) -> float:
        """Return how much of a batch the network gets to see in decoding, in seconds."""

    def encode(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Run the encoder: its inputs -> states [B, P, D]."""

    def summed_loss(
        self, batches: Sequence[Mapping[str, torch.Tensor]], *, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        """Sum the loss over all target tokens, in float32; batches may differ in width and length.

        A batch holds the encoder's inputs or its states (`encoder_states`), `decoder_input_ids` [B, U], and of its N
        target tokens their positions in the flattened [B * U] (`target_positions`), themselves (`targets`) and their
        number in each row (`target_lengths`).
        """

    def decoding_findings(self, utterances: Sequence[Utterance]) -> list[str | None]:
        """Say for each utterance why it cannot be decoded, such as a language without a token, or None."""

    def transcribe_batch(
        self, waveforms: Sequence[Waveform], utterances: Sequence[Utterance], options: DecodeOptions
    ) -> list[str]:
        """Decode clips that fit into one window; of their utterances it sees the language and the other keys."""

    def transcribe_long(self, waveform: Waveform, utterance: Utterance) -> list[Segment]:
        """Decode a recording of any length into segments with times."""

    def probe_inputs(self) -> dict[str, torch.Tensor]:
        """Return a fixed batch for the network's forward, to compare two versions of it by their logits."""

    def save(self, folder: Path) -> None:
        """Write network, tokenizer and feature settings as a Hugging Face model folder."""

    def save_processor(self, folder: Path) -> None:
        """Write only what stands beside the weights: tokenizer, feature and generation settings."""
