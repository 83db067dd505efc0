"""WhisperModel: the implementation of SpeechModel (model.py) for Whisper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

from eartune.audio import SAMPLE_RATE_HZ
from eartune.families.whisper.decode import encoder_window, transcribe_clips, transcribe_recording
from eartune.families.whisper.features import WINDOW_S, LogMel
from eartune.families.whisper.labels import EncodedTranscripts, LabelEncoder
from eartune.families.whisper.legacy_tokenizer_files import complete_for_older_tools
from eartune.families.whisper.loss import target_loss, whisper_of
from eartune.families.whisper.remarks import remarks
from eartune.language_tokens import NO_STAND_INS, StandIns
from eartune.manifest import Segment, Utterance
from eartune.model import Blocks, DecodeOptions, Languages, Network, Purpose, Waveform
from eartune.ops.spec_augment import SpecAugment

BLOCKS = Blocks(
    encoder="model.encoder",
    decoder="model.decoder",
    encoder_layers="model.encoder.layers",
    decoder_layers="model.decoder.layers",
    head=("proj_out",),
    default_targets=("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
    target_aliases={"o_proj": "out_proj"},
    forbidden_targets={"proj_out": "it shares its weights with the token embedding, so a merge would change both"},
)


class WhisperModel:
    """A Whisper network with tokenizer and features; `task` and `language` are those of its labels."""

    family = "whisper"
    blocks = BLOCKS

    def __init__(
        self,
        network: WhisperForConditionalGeneration,
        tokenizer: WhisperTokenizer,
        *,
        task: str = "transcribe",
        language: str | None = None,
        stand_ins: StandIns = NO_STAND_INS,
    ) -> None:
        self.network: Network = network
        self.tokenizer = tokenizer
        self.task = task
        self.log_mel = LogMel(network.config.num_mel_bins)
        multilingual = bool(network.generation_config.is_multilingual)
        languages = network.generation_config.lang_to_id if multilingual else {}
        self.window = encoder_window(network)
        self.labeler = LabelEncoder(
            tokenizer,
            languages=frozenset(token.strip("<|>") for token in languages),
            task=task,
            default_language=language,
            max_tokens=network.config.max_target_positions,
            stand_ins=stand_ins,
        )

    def findings(self, utterances: Sequence[Utterance], purpose: Purpose = "training") -> list[str | None]:
        if purpose == "decoding":
            return self.labeler.decoding_findings(utterances)
        return self.labeler.findings(utterances)

    def describe_texts(self, utterances: Sequence[Utterance]) -> None:
        """Return None: byte-level tokens cover every character."""

    def remarks(self, utterances: Sequence[Utterance]) -> list[str]:
        return remarks(self.labeler, utterances)

    def languages(self, utterance: Utterance) -> Languages:
        return Languages(self.labeler.language_of(utterance), self.labeler.text_language(utterance))

    def transcripts(self, utterances: Sequence[Utterance]) -> EncodedTranscripts:
        return self.labeler.encode(utterances)

    def features(
        self,
        waveforms_BS: torch.Tensor,
        samples_B: torch.Tensor,  # noqa: ARG002  Whisper has no attention mask
        window_s: float | None = None,
        augment: SpecAugment | None = None,
    ) -> dict[str, torch.Tensor]:
        self.log_mel.to(waveforms_BS.device)
        width_s = WINDOW_S if window_s is None else window_s
        features_BMT = self.log_mel(waveforms_BS, width_s)
        if augment is not None:
            share = waveforms_BS.shape[1] / (width_s * SAMPLE_RATE_HZ)
            features_BMT = augment(features_BMT, share=share, time_axis=2)
        return {"input_features": features_BMT}

    def encode(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        states_BPD: torch.Tensor = whisper_of(self.network).model.encoder(**inputs).last_hidden_state
        return states_BPD

    def summed_loss(
        self, batches: Sequence[Mapping[str, torch.Tensor]], *, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        return target_loss(whisper_of(self.network), batches, label_smoothing=label_smoothing)

    def transcribe_batch(
        self, waveforms: Sequence[Waveform], utterances: Sequence[Utterance], options: DecodeOptions
    ) -> list[str]:
        self.log_mel.to(next(self.network.parameters()).device)
        chosen = [self._token_code(utterance) for utterance in utterances]
        return transcribe_clips(
            self.network, self.log_mel, self.tokenizer, waveforms, chosen, task=self.task, options=options
        )

    def transcribe_long(self, waveform: Waveform, utterance: Utterance) -> list[Segment]:
        self.log_mel.to(next(self.network.parameters()).device)
        return transcribe_recording(
            self.network, self.log_mel, self.tokenizer, waveform, language=self._token_code(utterance), task=self.task
        )

    def _token_code(self, utterance: Utterance) -> str | None:
        """Return the code of the language token to decode with, or None to detect it. Raises InputError."""
        return self.labeler.token_code(utterance.language or self.labeler.default_language)

    def probe_inputs(self) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        noise_BS = 0.1 * torch.randn(2, 48_000, generator=generator)
        prompt = self.labeler.prompt("en" if self.labeler.languages else None)
        text_BU = torch.randint(0, 50_000, (2, 24), generator=generator)
        tokens_BU = torch.cat([torch.tensor([prompt, prompt]), text_BU % len(self.tokenizer)], dim=1)
        device = next(self.network.parameters()).device
        features = self.features(noise_BS.to(device), torch.full((2,), noise_BS.shape[1], device=device))
        return {**features, "decoder_input_ids": tokens_BU.to(device)}

    def save(self, folder: Path, *, weights: bool = True) -> None:
        if weights:
            self.network.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        WhisperFeatureExtractor(feature_size=self.log_mel.mel_filters.shape[0]).save_pretrained(folder)
        self.network.generation_config.save_pretrained(folder)
        if weights:
            complete_for_older_tools(self.tokenizer, folder)
