"""Base class of the Canary and Parakeet models: features, windows and files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn
from transformers import (
    NemotronAsrStreamingFeatureExtractor,
    ParakeetFeatureExtractor,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)

from eartune.audio import SAMPLE_RATE_HZ
from eartune.families._nemo.coverage import require_covered
from eartune.families._nemo.features import LogMel
from eartune.families._nemo.formats import MAX_DURATION_S
from eartune.families._nemo.spec import NemoSpec
from eartune.families._nemo.tokenizer import MODEL_FILE, SentencePieceTokenizer, build_tokenizer
from eartune.manifest import Utterance
from eartune.model import EncoderWindow, Network, Waveform, pad_waveforms
from eartune.ops.spec_augment import SpecAugment

# one encoder position: eightfold subsampling of frames of 10 ms
POSITION_S = 0.08
# the encoder's default adapter targets, and NeMo's names for them
ENCODER_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "linear1", "linear2")
ENCODER_ALIASES = {
    "linear_q": "q_proj",
    "linear_k": "k_proj",
    "linear_v": "v_proj",
    "linear_out": "o_proj",
    "linear_pos": "relative_k_proj",
    "out_proj": "o_proj",
}


def parts_of(spec: NemoSpec) -> tuple[PreTrainedTokenizerBase, LogMel]:
    """Return an archive's tokenizer and features."""
    tokenizer = build_tokenizer(spec.tokenizer.model, where=f"{spec.path}: tokenizer")
    return tokenizer, LogMel(spec.features)


class NemoModel(ABC):
    """A NeMo network with its tokenizer and features; clips are not padded to a fixed window."""

    # additional advice where the tokenizer lacks characters
    advice_on_lacking = ""

    def __init__(
        self, network: Network, tokenizer: PreTrainedTokenizerBase, log_mel: LogMel, *, max_tokens: int
    ) -> None:
        self.network: Network = network
        self.window = EncoderWindow(MAX_DURATION_S, POSITION_S, max_tokens)
        self.tokenizer = tokenizer
        self.log_mel = log_mel

    def describe_texts(self, utterances: Sequence[Utterance]) -> str | None:
        return str(require_covered(self.tokenizer, utterances, advice=self.advice_on_lacking))

    def features(
        self,
        waveforms_BS: torch.Tensor,
        samples_B: torch.Tensor,
        window_s: float | None = None,
        augment: SpecAugment | None = None,
    ) -> dict[str, torch.Tensor]:
        self.log_mel.to(waveforms_BS.device)
        missing = 0 if window_s is None else round(window_s * SAMPLE_RATE_HZ) - waveforms_BS.shape[1]
        padded_BS = nn.functional.pad(waveforms_BS, (0, max(0, missing)))
        features_BTM, mask_BT = self.log_mel(padded_BS, samples_B)
        if augment is not None:
            share = waveforms_BS.shape[1] / padded_BS.shape[1]
            features_BTM = augment(features_BTM, share=share, time_axis=1)
        return {"input_features": features_BTM, "attention_mask": mask_BT}

    def features_of(self, waveforms: Sequence[Waveform]) -> dict[str, torch.Tensor]:
        """Compute the features of clips, padded to the longest, on the network's device, in its dtype."""
        samples_B = torch.tensor([len(waveform) for waveform in waveforms])
        weight = next(self.network.parameters())
        inputs = self.features(pad_waveforms(waveforms).to(weight.device), samples_B.to(weight.device))
        return inputs | {"input_features": inputs["input_features"].to(weight.dtype)}

    def save(self, folder: Path, *, weights: bool = True) -> None:
        if weights:
            self.network.save_pretrained(folder)
        settings = asdict(self.log_mel.settings)
        normalize = settings.pop("normalize")
        extractor = (ParakeetFeatureExtractor if normalize else NemotronAsrStreamingFeatureExtractor)(**settings)
        extractor.save_pretrained(folder)
        self.processor(extractor).save_pretrained(folder)
        if isinstance(self.tokenizer, SentencePieceTokenizer):
            # the source of tokenizer.json, and more exact
            (folder / MODEL_FILE).write_bytes(self.tokenizer.model)

    @abstractmethod
    def encode(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Run the encoder: its inputs -> states [B, P, D]."""

    @abstractmethod
    def processor(self, extractor: ParakeetFeatureExtractor) -> ProcessorMixin:
        """Return transformers' processor for the model: extractor, complete tokenizer, prompts and decoding."""


def feature_inputs(batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the encoder inputs of a batch."""
    return {name: batch[name] for name in ("input_features", "attention_mask")}
