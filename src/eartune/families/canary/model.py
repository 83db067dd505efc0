"""CanaryModel: the contract of model.py for Canary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from transformers import (
    CanaryForConditionalGeneration,
    CanaryProcessor,
    ParakeetFeatureExtractor,
    PreTrainedTokenizerBase,
)

from eartune.audio import SAMPLE_RATE_HZ
from eartune.errors import raise_findings
from eartune.families._nemo.base import ENCODER_ALIASES, ENCODER_TARGETS, NemoModel
from eartune.families._nemo.features import LogMel
from eartune.families._nemo.formats import MAX_DURATION_S
from eartune.families.canary.decode import decode
from eartune.families.canary.labels import EncodedTranscripts, LabelEncoder
from eartune.families.canary.loss import canary_of, target_loss
from eartune.families.canary.processor import build_processor
from eartune.families.canary.prompt import Prompts
from eartune.families.canary.times import without_times
from eartune.languages import language_code
from eartune.long_form import cut_at_silences
from eartune.manifest import Segment, Utterance
from eartune.model import Blocks, DecodeOptions, Languages, Purpose, Waveform, probe_clips

BLOCKS = Blocks(
    encoder="model.encoder",
    decoder="model.decoder",
    encoder_layers="model.encoder.layers",
    decoder_layers="model.decoder.layers",
    head=("proj_out",),
    default_targets=(*ENCODER_TARGETS, "fc1", "fc2"),
    target_aliases=ENCODER_ALIASES
    | {
        "query_net": "q_proj",
        "key_net": "k_proj",
        "value_net": "v_proj",
        "out_projection": "o_proj",
        "dense_in": "fc1",
        "dense_out": "fc2",
    },
    forbidden_targets={"proj_out": "it shares its weights with the token embedding, so a merge would change both"},
)


class CanaryModel(NemoModel):
    """A Canary network with tokenizer and features; `task` and `language` are the defaults of its prompts."""

    family = "canary"
    blocks = BLOCKS

    def __init__(
        self,
        network: CanaryForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        log_mel: LogMel,
        *,
        task: str = "transcribe",
        language: str | None = None,
    ) -> None:
        max_tokens = network.config.decoder_config.max_position_embeddings
        super().__init__(network, tokenizer, log_mel, max_tokens=max_tokens)
        symbols = frozenset(token for token in tokenizer.get_vocab() if token.startswith("<|") and token.endswith("|>"))
        prompts = Prompts(getattr(network.config, "prompt_defaults", {}), task, language, symbols)
        self.labeler = LabelEncoder(tokenizer, prompts, max_tokens, MAX_DURATION_S)

    def findings(self, utterances: Sequence[Utterance], purpose: Purpose = "training") -> list[str | None]:
        if purpose == "decoding":
            return [self.labeler.prompt_finding(utterance) for utterance in utterances]
        return self.labeler.findings(utterances)

    def remarks(self, utterances: Sequence[Utterance]) -> list[str]:
        return self.labeler.remarks(utterances)

    def languages(self, utterance: Utterance) -> Languages:
        target = self.labeler.prompts.target_of(utterance)
        return Languages(target, language_code(target) if target else None)

    def transcripts(self, utterances: Sequence[Utterance]) -> EncodedTranscripts:
        return self.labeler.encode(utterances)

    def encode(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        states_BPD: torch.Tensor = canary_of(self.network).model.encoder(**inputs).last_hidden_state
        return states_BPD

    def summed_loss(
        self, batches: Sequence[Mapping[str, torch.Tensor]], *, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        return target_loss(canary_of(self.network), batches, label_smoothing=label_smoothing)

    def transcribe_batch(
        self, waveforms: Sequence[Waveform], utterances: Sequence[Utterance], options: DecodeOptions
    ) -> list[str]:
        problems = zip(utterances, self.findings(utterances, "decoding"), strict=True)
        raise_findings([f"{u.source or u.audio}: {problem}" for u, problem in problems if problem is not None])
        tokens = decode(
            canary_of(self.network),
            self.features_of(waveforms),
            [self.labeler.prompt(utterance) for utterance in utterances],
            end=self.labeler.end,
            options=options,
        )
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        # timestamps are not words
        return [
            without_times(text) if self.labeler.prompts.switched("timestamp", utterance) else text.strip()
            for text, utterance in zip(texts, utterances, strict=True)
        ]

    def transcribe_long(self, waveform: Waveform, utterance: Utterance) -> list[Segment]:
        """Decode the parts of a recording, cut at quiet points; each is a segment."""
        clips = cut_at_silences(waveform)
        options = DecodeOptions(max_length=self.window.max_tokens)
        texts = [self.transcribe_batch([waveform[first:last]], [utterance], options)[0] for first, last in clips]
        return [
            Segment(round(first / SAMPLE_RATE_HZ, 2), round(last / SAMPLE_RATE_HZ, 2), text)
            for (first, last), text in zip(clips, texts, strict=True)
            if text
        ]

    def processor(self, extractor: ParakeetFeatureExtractor) -> CanaryProcessor:
        return build_processor(self.labeler.prompts, self.tokenizer, extractor)

    def probe_inputs(self) -> dict[str, torch.Tensor]:
        features = self.features_of(probe_clips())
        generator = torch.Generator().manual_seed(0)
        tokens_BU = torch.randint(0, self.network.config.vocab_size, (2, 24), generator=generator)
        return {**features, "decoder_input_ids": tokens_BU.to(features["input_features"].device)}
