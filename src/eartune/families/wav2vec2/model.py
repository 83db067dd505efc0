"""Wav2Vec2Model: the contract of model.py for CTC encoders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from transformers import (
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertProcessor,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Processor,
)

from eartune.audio import SAMPLE_RATE_HZ
from eartune.errors import InputError
from eartune.families.wav2vec2 import FAMILY, MAX_DURATION_S
from eartune.families.wav2vec2.features import (
    FRAME_SAMPLES,
    FRAMES_PER_POSITION,
    HOP_SAMPLES,
    FeatureSettings,
    SampleSettings,
    extractor_of,
)
from eartune.families.wav2vec2.labels import EncodedTranscripts, LabelEncoder, decoding_finding
from eartune.families.wav2vec2.language_adapters import adapter_weights, has_adapters, is_for, save_adapter
from eartune.families.wav2vec2.network import (
    ctc_of,
    encoder_name,
    inputs_of,
    logits,
    num_frames,
    num_positions,
    samples_per_position,
)
from eartune.families.wav2vec2.tokenizer import SpecialTokens, pieces_of, text_of, write_language
from eartune.long_form import cut_at_silences, timed_segments
from eartune.manifest import Segment, Utterance
from eartune.model import (
    Blocks,
    DecodeOptions,
    EncoderWindow,
    Languages,
    Network,
    Purpose,
    Waveform,
    pad_waveforms,
    probe_clips,
)
from eartune.ops.ctc import TimedTokens, ctc_loss, decode_ctc
from eartune.ops.spec_augment import SpecAugment

# the layers that other guides adapt: attention, and the feed-forward layers
TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj", "intermediate_dense", "output_dense")
BERT_TARGETS = ("linear_q", "linear_k", "linear_v", "linear_out", "intermediate_dense", "output_dense")

NO_MASKS = SpecAugment(time_prob=0.0, time_length=10, feature_prob=0.0, feature_length=10)


def blocks_of(network: Network) -> Blocks:
    """Return the parts of a network."""
    encoder = encoder_name(network)
    is_bert = encoder == "wav2vec2_bert"
    own, others = (BERT_TARGETS, TARGETS) if is_bert else (TARGETS, BERT_TARGETS)
    weights = adapter_weights(network) if has_adapters(ctc_of(network).config) else {}
    modules = dict.fromkeys(name.rpartition(".")[0] for name in weights)
    return Blocks(
        encoder=encoder,
        decoder=None,
        encoder_layers=f"{encoder}.encoder.layers",
        decoder_layers=None,
        head=("lm_head",),
        default_targets=own,
        target_aliases=dict(zip(others[:4], own[:4], strict=True)) | {"fc1": own[4], "fc2": own[5]},
        forbidden_targets={},
        feature_encoder=None if is_bert else f"{encoder}.feature_extractor",
        language_adapters=tuple(name for name in modules if name != "lm_head"),
    )


class Wav2Vec2Model:
    """A CTC encoder with tokenizer and features; `adapter_name` is the language of its adapters, if it has them."""

    family = FAMILY.name

    def __init__(
        self,
        network: Network,
        tokenizer: Wav2Vec2CTCTokenizer,
        features: FeatureSettings,
        *,
        special: SpecialTokens,
        language: str | None = None,
        adapter_name: str | None = None,
    ) -> None:
        self.network: Network = network
        self.blocks = blocks_of(network)
        self.extractor = extractor_of(features)
        self.special = special
        self.adapter_name = adapter_name
        self.position_s = samples_per_position(network) / SAMPLE_RATE_HZ
        self.window = EncoderWindow(MAX_DURATION_S, self.position_s, max_tokens=math.ceil(MAX_DURATION_S / 0.02))
        self.tokenizer = tokenizer
        self.labeler = LabelEncoder(tokenizer, self.num_frames, language)

    def replace_tokenizer(self, tokenizer: Wav2Vec2CTCTokenizer) -> None:
        """Take a tokenizer with more tokens, whose rows in the output head are trained in full."""
        self.tokenizer = tokenizer
        self.labeler = replace(self.labeler, tokenizer=tokenizer)
        self.blocks = replace(self.blocks, extended=self.blocks.head)

    def num_frames(self, duration_s: float) -> int:
        """Return the number of positions of the encoder for a duration."""
        length = self._num_inputs(round(duration_s * SAMPLE_RATE_HZ))
        return max(0, int(num_positions(self.network, torch.tensor(length))))

    def _num_inputs(self, num_samples: int) -> int:
        """Return the length of the network's input for a number of samples: the same, or positions of filter banks."""
        if isinstance(self.extractor.settings, SampleSettings):
            return num_samples
        return max(0, ((num_samples - FRAME_SAMPLES) // HOP_SAMPLES + 1) // FRAMES_PER_POSITION)

    def findings(self, utterances: Sequence[Utterance], purpose: Purpose = "training") -> list[str | None]:
        found = (
            [decoding_finding(utterance) for utterance in utterances]
            if purpose == "decoding"
            else self.labeler.findings(utterances)
        )
        return [reason or self._of_another_language(u) for reason, u in zip(found, utterances, strict=True)]

    def _of_another_language(self, utterance: Utterance) -> str | None:
        name, language = self.adapter_name, utterance.language
        if name is None or language is None or language == self.labeler.default_language or is_for(name, language):
            return None
        return (
            f"language {language!r} is not that of the model's adapter, {name}: give the rows of each language to a "
            "run of its own, with --language"
        )

    def describe_texts(self, utterances: Sequence[Utterance]) -> str:
        return self.labeler.describe(utterances)

    def remarks(self, utterances: Sequence[Utterance]) -> list[str]:
        return self.labeler.remarks(utterances)

    def languages(self, utterance: Utterance) -> Languages:
        language = self.labeler.language_of(utterance)
        return Languages(language, language)

    def transcripts(self, utterances: Sequence[Utterance]) -> EncodedTranscripts:
        return self.labeler.encode(utterances)

    def features(
        self,
        waveforms_BS: torch.Tensor,
        samples_B: torch.Tensor,
        window_s: float | None = None,
        augment: SpecAugment | None = None,
    ) -> dict[str, torch.Tensor]:
        longest = waveforms_BS.shape[1]
        width = longest if window_s is None else round(window_s * SAMPLE_RATE_HZ)
        padded_BS = nn.functional.pad(waveforms_BS, (0, max(0, max(FRAME_SAMPLES, width) - longest)))
        self.extractor.to(waveforms_BS.device)
        # in full precision: logarithms of sums over a spectrum would be those of rounding
        with torch.autocast(padded_BS.device.type, enabled=False):
            inputs: dict[str, torch.Tensor] = self.extractor(padded_BS, samples_B)
        # without masks that are given, the network in training would draw its own
        if augment is not None or self.network.training:
            inputs["mask_time_indices"] = self._masks(inputs["attention_mask"], self._num_inputs(longest), augment)
        return inputs

    def _masks(self, attention_mask: torch.Tensor, longest: int, augment: SpecAugment | None) -> torch.Tensor:
        """Return masks [B, T] of frames; those of features are drawn by the network itself, in training.

        The configuration says what is trained, for the network and for the saved model. `longest` is the longest input
        of the batch, known without waiting for the device.
        """
        augment = augment or NO_MASKS
        config = ctc_of(self.network).config
        config.mask_time_prob, config.mask_time_length = augment.time_prob, augment.time_length
        config.mask_feature_prob, config.mask_feature_length = augment.feature_prob, augment.feature_length
        total, num_speech = num_frames(self.network, torch.tensor([attention_mask.shape[1], longest])).tolist()
        return augment.time_masks(len(attention_mask), num_speech, total, attention_mask.device)

    def summed_loss(
        self, batches: Sequence[Mapping[str, torch.Tensor]], *, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        if label_smoothing:
            raise InputError(f"label_smoothing_factor: applies to cross-entropy, which {FAMILY.title} does not use")
        return torch.stack([self._loss(batch) for batch in batches]).sum()

    def _loss(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        logits_BPV, lengths_B = logits(self.network, inputs_of(batch))
        tokens_BU, num_tokens_B = batch["decoder_input_ids"], batch["target_lengths"]
        return ctc_loss(logits_BPV, lengths_B, tokens_BU, num_tokens_B, blank=self._blank)

    @property
    def _blank(self) -> int:
        return int(self.tokenizer.pad_token_id)

    def transcribe_batch(
        self,
        waveforms: Sequence[Waveform],
        utterances: Sequence[Utterance],  # noqa: ARG002  CTC is not told the language
        options: DecodeOptions,
    ) -> list[str]:
        if options.num_beams > 1:
            raise InputError(f"num_beams: {FAMILY.title} is decoded greedily: leave it at 1")
        return [text_of(self.tokenizer, decoded.tokens) for decoded in self._decode(waveforms)]

    def transcribe_long(self, waveform: Waveform, utterance: Utterance) -> list[Segment]:  # noqa: ARG002
        """Decode the parts of a recording, cut at quiet points; segments end at pauses, and have the times of words."""
        found: list[Segment] = []
        names = self._names()
        for first, last in cut_at_silences(waveform):
            (decoded,) = self._decode([waveform[first:last]])
            clip = Segment(first / SAMPLE_RATE_HZ, last / SAMPLE_RATE_HZ, "")
            found += timed_segments(*pieces_of(names, decoded, special=self.special), clip, frame_s=self.position_s)
        return found

    def _names(self) -> list[str]:
        """Return the tokens by number, as they are written."""
        names = self.tokenizer.convert_ids_to_tokens(list(range(len(self.tokenizer))))
        return [name.lower() for name in names] if self.special.do_lower_case else names

    def _decode(self, waveforms: Sequence[Waveform]) -> list[TimedTokens]:
        with torch.no_grad():
            logits_BPV, lengths_B = logits(self.network, self._features_of(waveforms))
        return decode_ctc(logits_BPV, lengths_B, blank=self._blank)

    def _features_of(self, waveforms: Sequence[Waveform]) -> dict[str, torch.Tensor]:
        """Compute the inputs for clips, padded to the longest, on the network's device, in its dtype."""
        weight = next(self.network.parameters())
        samples_B = torch.tensor([len(waveform) for waveform in waveforms], device=weight.device)
        inputs = self.features(pad_waveforms(waveforms).to(weight.device), samples_B)
        return {name: each.to(weight.dtype) if each.is_floating_point() else each for name, each in inputs.items()}

    def probe_inputs(self) -> dict[str, torch.Tensor]:
        return self._features_of(probe_clips())

    def save(self, folder: Path, *, weights: bool = True) -> None:
        if weights:
            self.network.save_pretrained(folder)
        processor = self._processor()
        # older tools read the features' own file
        processor.feature_extractor.save_pretrained(folder)
        processor.save_pretrained(folder)
        if self.adapter_name is not None:
            write_language(folder, self.adapter_name)
            save_adapter(self.network, folder, self.adapter_name)

    @property
    def _masks_padding(self) -> bool:
        """Whether the model was trained with masks of padding, as transformers has it."""
        return str(ctc_of(self.network).config.feat_extract_norm) == "layer"

    def _processor(self) -> Wav2Vec2Processor | Wav2Vec2BertProcessor:
        settings = self.extractor.settings
        if isinstance(settings, SampleSettings):
            extractor = Wav2Vec2FeatureExtractor(
                do_normalize=settings.do_normalize, return_attention_mask=self._masks_padding
            )
            return Wav2Vec2Processor(extractor, self.tokenizer)
        return Wav2Vec2BertProcessor(SeamlessM4TFeatureExtractor(), self.tokenizer)
