"""Defaults of a model family, and options that do not apply to it."""

from __future__ import annotations

from eartune.config.train_config import TrainConfig, with_values

# families whose encoder takes utterances of any length and masks the padding
OWN_LENGTH = frozenset({"canary", "parakeet"})
# families whose vocabulary can be extended
EXTENSIBLE = ("parakeet",)
_WHY_NOT_EXTENDED = {
    "whisper": "Whisper has a token for every byte, so no character is missing",
    "canary": "a Canary's vocabulary cannot be extended yet: use a Parakeet, or a Canary trained on the language",
}
_OWN_LENGTH_VALUES = {
    "window": "short",
    "short_margin": 0.0,
    "short_jitter": 0.0,
    "short_full": 0.0,
    "eval_window": "short",
}
_ONLY_WHISPER = ("packed_gap", "packed_timestamps", "packed_alone", "short_margin", "short_jitter", "short_full")


def fill_in_family(config: TrainConfig) -> TrainConfig:
    """Replace Whisper's defaults by those of the family."""
    if config.family not in OWN_LENGTH:
        return config
    for name, value in _OWN_LENGTH_VALUES.items():
        if not config.given(name):
            config = with_values(config, f"default of {config.family}", **{name: value})
    return config


def family_conflicts(config: TrainConfig) -> list[str]:
    """List options that do not apply to the family, one sentence each."""
    found = []
    if config.model.extend_vocabulary and config.family not in EXTENSIBLE:
        found.append(f"extend_vocabulary: {_WHY_NOT_EXTENDED[config.family]}; remove it")
    if config.data.language_token is not None and config.family != "whisper":
        found.append(f"language_token: is for Whisper's language tokens, and the family is {config.family}: remove it")
    if config.family in OWN_LENGTH:
        found += [
            f"{name}: {value} is for Whisper's 30 s window, and {config.family} encodes each utterance at its own "
            "length: remove it"
            for name, value in (("window", config.window.window), ("eval_window", config.validation.eval_window))
            if value != "short"
        ]
        found += [
            f"{name}: is for Whisper's windows, and {config.family} encodes each utterance at its own length: remove it"
            for name in _ONLY_WHISPER
            if config.changed(name) and getattr(config.window, name) != _OWN_LENGTH_VALUES.get(name)
        ]
        if config.model.cache_encoder is not False:
            found.append(f"cache_encoder: supports Whisper only, and the family is {config.family}: remove it")
    if config.family == "parakeet":
        if config.optimizer.label_smoothing_factor:
            found.append("label_smoothing_factor: applies to cross-entropy, which Parakeet does not use: remove it")
        if config.data.task != "transcribe":
            found.append("task: Parakeet only transcribes; for translation use canary or whisper")
        if config.validation.generation_num_beams > 1:
            found.append("generation_num_beams: Parakeet is decoded greedily: remove it")
    return found
