"""Configuration rules of a family, and options that do not apply to it."""

from __future__ import annotations

from eartune.config.train_config import TrainConfig, with_values

# their encoders see each clip in its own length, and tell it from padding
OWN_LENGTH = frozenset({"canary", "parakeet"})
# their models can be given tokens for more characters
EXTENSIBLE = ("parakeet",)
_WHY_NOT_EXTENDED = {
    "whisper": "a Whisper has a token for every byte, so it lacks no character",
    "canary": "a Canary's tokens cannot be extended yet: take a Parakeet, or a Canary that was trained on the language",
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
    """Replace defaults that are Whisper's by the family's own."""
    if config.family not in OWN_LENGTH:
        return config
    for name, value in _OWN_LENGTH_VALUES.items():
        if not config.given(name):
            config = with_values(config, f"default of {config.family}", **{name: value})
    return config


def family_conflicts(config: TrainConfig) -> list[str]:
    """List options that the family has no use for."""
    found = []
    if config.model.extend_vocabulary and config.family not in EXTENSIBLE:
        found.append(f"extend_vocabulary: {_WHY_NOT_EXTENDED[config.family]}; remove it")
    if config.data.language_token is not None and config.family != "whisper":
        found.append(
            f"language_token: is for Whisper's tokens of languages, and the family is {config.family}: remove it"
        )
    if config.family in OWN_LENGTH:
        found += [
            f"{name}: {value} speaks of Whisper's 30 s, and {config.family} sees each clip in its own length: remove it"
            for name, value in (("window", config.window.window), ("eval_window", config.validation.eval_window))
            if value != "short"
        ]
        found += [
            f"{name}: speaks of Whisper's windows, and {config.family} sees each clip in its own length: remove it"
            for name in _ONLY_WHISPER
            if config.changed(name) and getattr(config.window, name) != _OWN_LENGTH_VALUES.get(name)
        ]
        if config.model.cache_encoder is not False:
            found.append(f"cache_encoder: is for Whisper so far, and the family is {config.family}: remove it")
    if config.family == "parakeet":
        if config.optimizer.label_smoothing_factor:
            found.append("label_smoothing_factor: is for models with cross-entropy, and Parakeet has none: remove it")
        if config.data.task != "transcribe":
            found.append("task: Parakeet only transcribes; for translation take canary or whisper")
        if config.validation.generation_num_beams > 1:
            found.append("generation_num_beams: Parakeet is decoded greedily: remove it")
    return found
