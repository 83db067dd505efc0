"""WhisperModel: the implementation of SpeechModel (model.py) for Whisper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

from eartune.families.whisper.decode import transcribe_clips, transcribe_recording, window_s
from eartune.families.whisper.features import WINDOW_S, LogMel
from eartune.families.whisper.labels import EncodedTranscripts, LabelEncoder
from eartune.families.whisper.legacy_tokenizer_files import complete_for_older_tools
from eartune.families.whisper.loss import target_loss, whisper_of
from eartune.families.whisper.remarks import remarks
from eartune.families.whisper.tokenizer import TIMESTAMP_STEP_S
from eartune.language_tokens import NO_STAND_INS, StandIns
from eartune.manifest import Segment, Utterance
from eartune.manifest.remarks import require_words
from eartune.model import Blocks, DecodeOptions, Network, Waveform, WindowKind

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
    max_duration_s = WINDOW_S
    timestamp_step_s = TIMESTAMP_STEP_S
    time_axis = 2

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
        # the longest prompt has three tokens and <|notimestamps|>
        self.max_window_tokens = network.config.max_target_positions - 4
        self.labeler = LabelEncoder(
            tokenizer,
            languages=frozenset(token.strip("<|>") for token in languages),
            task=task,
            default_language=language,
            max_tokens=network.config.max_target_positions,
            stand_ins=stand_ins,
        )

    def findings(self, utterances: Sequence[Utterance]) -> list[str | None]:
        return self.labeler.findings(utterances)

    def describe_texts(self, utterances: Sequence[Utterance]) -> None:
        """Return None: byte-level tokens cover every character. Raises InputError without texts."""
        require_words(utterances)

    def remarks(self, utterances: Sequence[Utterance]) -> list[str]:
        return remarks(self.labeler, utterances)

    def language_of(self, utterance: Utterance) -> str | None:
        return self.labeler.language_of(utterance)

    def text_language(self, utterance: Utterance) -> str | None:
        # Whisper translates into English only
        return "en" if self.task == "translate" else self.language_of(utterance)

    def transcripts(self, utterances: Sequence[Utterance]) -> EncodedTranscripts:
        return self.labeler.encode(utterances)

    def pad_token_id(self) -> int:
        return int(self.tokenizer.pad_token_id)

    def features(
        self,
        waveforms_BS: torch.Tensor,
        samples_B: torch.Tensor,  # noqa: ARG002  Whisper has no attention mask
        window_s: float | None = None,
    ) -> dict[str, torch.Tensor]:
        self.log_mel.to(waveforms_BS.device)
        return {"input_features": self.log_mel(waveforms_BS, WINDOW_S if window_s is None else window_s)}

    def encoder_input_s(self, longest_s: float, window: WindowKind) -> float:
        return window_s(longest_s, window)

    def encode(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        states_BPD: torch.Tensor = whisper_of(self.network).model.encoder(**inputs).last_hidden_state
        return states_BPD

    def summed_loss(
        self, batches: Sequence[Mapping[str, torch.Tensor]], *, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        return target_loss(whisper_of(self.network), batches, label_smoothing=label_smoothing)

    def decoding_findings(self, utterances: Sequence[Utterance]) -> list[str | None]:
        return self.labeler.decoding_findings(utterances)

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

    def save(self, folder: Path) -> None:
        self.network.save_pretrained(folder)
        self.save_processor(folder)
        complete_for_older_tools(self.tokenizer, folder)

    def save_processor(self, folder: Path) -> None:
        self.tokenizer.save_pretrained(folder)
        WhisperFeatureExtractor(feature_size=self.log_mel.mel_filters.shape[0]).save_pretrained(folder)
        self.network.generation_config.save_pretrained(folder)
