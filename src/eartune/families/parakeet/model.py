"""ParakeetModel: the contract of model.py for Parakeet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from transformers import (
    ParakeetFeatureExtractor,
    ParakeetForCTC,
    ParakeetForRNNT,
    ParakeetProcessor,
    PreTrainedTokenizerBase,
)

from eartune.audio import SAMPLE_RATE_HZ
from eartune.errors import InputError
from eartune.families._nemo.base import ENCODER_ALIASES, ENCODER_TARGETS, NemoModel
from eartune.families._nemo.features import LogMel
from eartune.families.parakeet.greedy import decode_transducer, segments_of, text_of
from eartune.families.parakeet.heads import heads_of
from eartune.families.parakeet.labels import ADVICE_ON_LACKING, EncodedTranscripts, LabelEncoder, translation_problem
from eartune.families.parakeet.loss import summed_loss
from eartune.families.parakeet.network import parakeet_of
from eartune.families.parakeet.processor import build_processor
from eartune.families.parakeet.prompts import Prompts, prompts_of, tag_tokens
from eartune.families.parakeet.streaming import encoded, untrained_contexts
from eartune.languages import AUTO
from eartune.long_form import cut_at_silences
from eartune.manifest import Segment, Utterance
from eartune.model import Blocks, DecodeOptions, Languages, Purpose, Waveform, probe_clips
from eartune.ops.ctc import TimedTokens, decode_ctc

CTC_BLOCKS = Blocks(
    encoder="encoder",
    decoder=None,
    encoder_layers="encoder.layers",
    decoder_layers=None,
    head=("ctc_head",),
    default_targets=ENCODER_TARGETS,
    target_aliases=ENCODER_ALIASES | {"decoder_layers": "ctc_head"},
    forbidden_targets={},
)
TRANSDUCER_BLOCKS = Blocks(
    encoder="encoder",
    decoder="decoder",
    encoder_layers="encoder.layers",
    decoder_layers=None,
    head=("encoder_projector", "joint"),
    default_targets=(*ENCODER_TARGETS, "encoder_projector", "decoder_projector"),
    target_aliases=ENCODER_ALIASES | {"enc": "encoder_projector", "pred": "decoder_projector", "joint_net": "head"},
    forbidden_targets={},
)


ONLY_WHOLE_CLIPS = (
    "the model supports streaming too, and is trained on whole clips only, as in NeMo: its streaming accuracy is "
    "neither trained nor measured"
)


class ParakeetModel(NemoModel):
    """A Parakeet network with tokenizer and features."""

    family = "parakeet"
    advice_on_lacking = ADVICE_ON_LACKING

    def __init__(
        self,
        network: ParakeetForCTC | ParakeetForRNNT,
        tokenizer: PreTrainedTokenizerBase,
        log_mel: LogMel,
        *,
        language: str | None = None,
    ) -> None:
        super().__init__(network, tokenizer, log_mel, max_tokens=network.config.encoder_config.max_position_embeddings)
        self.blocks = CTC_BLOCKS if isinstance(network, ParakeetForCTC) else TRANSDUCER_BLOCKS
        if hasattr(network, "aux_ctc_head"):
            self.blocks = replace(TRANSDUCER_BLOCKS, head=(*TRANSDUCER_BLOCKS.head, "aux_ctc_head"))
        if hasattr(network, "prompt_projector"):
            self.blocks = replace(TRANSDUCER_BLOCKS, head=(*TRANSDUCER_BLOCKS.head, "prompt_projector"))
        self.prompts: Prompts | None = prompts_of(network, tokenizer.get_vocab())
        # language tags, which a model with prompts writes after its texts
        self._tags = tag_tokens(tokenizer.get_vocab()) if self.prompts else frozenset()
        self.labeler = LabelEncoder(tokenizer, self.num_frames, language, heads_of(network), self.prompts)

    def num_frames(self, duration_s: float) -> int:
        """Return the number of encoder frames, of 80 ms, for a duration."""
        hops = int(duration_s * SAMPLE_RATE_HZ) // self.log_mel.settings.hop_length
        return int(parakeet_of(self.network)._get_subsampling_output_length(torch.tensor([hops])))

    def findings(self, utterances: Sequence[Utterance], purpose: Purpose = "training") -> list[str | None]:
        if purpose == "decoding":
            return [translation_problem(u) or self.labeler.prompt_problem(u) for u in utterances]
        return self.labeler.findings(utterances)

    def remarks(self, utterances: Sequence[Utterance]) -> list[str]:
        return [*self.labeler.remarks(utterances), *([ONLY_WHOLE_CLIPS] if self._is_unified() else [])]

    def describe_texts(self, utterances: Sequence[Utterance]) -> str | None:
        found = super().describe_texts(utterances)
        if self.prompts is None:
            return found
        prompts = Counter(self.labeler.prompt_of(utterance) for utterance in utterances)
        named = ((self.prompts.told(number), count) for number, count in prompts.most_common())
        rows = ", ".join(f"{name} {count}" for name, count in named if name is not None)
        return f"{found}; rows by language prompt: {rows}"

    def languages(self, utterance: Utterance) -> Languages:
        language = self.labeler.language_of(utterance)
        # with its region if the prompt has one, so that runtimes use the same prompt
        name = AUTO if self.prompts is None else self.prompts.name(utterance, language)
        return Languages(language if name == AUTO else name, language)

    def transcripts(self, utterances: Sequence[Utterance]) -> EncodedTranscripts:
        return self.labeler.encode(utterances)

    def encode(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return encoded(parakeet_of(self.network), inputs)[0]

    def summed_loss(
        self, batches: Sequence[Mapping[str, torch.Tensor]], *, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        if label_smoothing:
            raise InputError("label_smoothing_factor: applies to cross-entropy, which Parakeet does not use: remove it")
        return summed_loss(parakeet_of(self.network), batches)

    def transcribe_batch(
        self, waveforms: Sequence[Waveform], utterances: Sequence[Utterance], options: DecodeOptions
    ) -> list[str]:
        if options.num_beams > 1:
            raise InputError("num_beams: Parakeet is decoded greedily: leave it at 1")
        return [text_of(self.tokenizer, decoded.tokens) for decoded in self._decode(waveforms, utterances)]

    def transcribe_long(self, waveform: Waveform, utterance: Utterance) -> list[Segment]:
        """Decode the parts of a recording, cut at quiet points; segments end at pauses and at ends of sentences."""
        found: list[Segment] = []
        for first, last in cut_at_silences(waveform):
            (decoded,) = self._decode([waveform[first:last]], [utterance])
            found += segments_of(self.tokenizer, decoded, start_s=first / SAMPLE_RATE_HZ, end_s=last / SAMPLE_RATE_HZ)
        return found

    def _decode(self, waveforms: Sequence[Waveform], utterances: Sequence[Utterance]) -> list[TimedTokens]:
        network = parakeet_of(self.network)
        with torch.no_grad():
            inputs = self.features_of(waveforms)
            states_BTD, frames_B = encoded(network, inputs, self._prompts_of(utterances, inputs))
            if isinstance(network, ParakeetForCTC):
                return decode_ctc(network.ctc_head(states_BTD), frames_B, blank=network.config.pad_token_id)
            found = decode_transducer(network, network.encoder_projector(states_BTD), frames_B)
            return [decoded.without(self._tags) for decoded in found] if self._tags else found

    def _prompts_of(self, utterances: Sequence[Utterance], inputs: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
        if self.prompts is None:
            return None
        numbers = [self.labeler.prompt_of(utterance) for utterance in utterances]
        assert None not in numbers, "findings reports utterances without a prompt"
        return torch.tensor(numbers, device=inputs["input_features"].device)

    def _is_unified(self) -> bool:
        return untrained_contexts(parakeet_of(self.network))

    def processor(self, extractor: ParakeetFeatureExtractor) -> ParakeetProcessor:
        return build_processor(parakeet_of(self.network), self.tokenizer, extractor)

    def probe_inputs(self) -> dict[str, torch.Tensor]:
        features = self.features_of(probe_clips())
        if isinstance(parakeet_of(self.network), ParakeetForCTC):
            return features
        generator = torch.Generator().manual_seed(0)
        tokens_BU = torch.randint(0, self.network.config.vocab_size - 1, (2, 6), generator=generator)
        device = features["input_features"].device
        prompts = {} if self.prompts is None else {"prompt_ids": torch.tensor([0, 1], device=device)}
        return {**features, "decoder_input_ids": tokens_BU.to(device), **prompts}
