"""Canary's prompt: what a row of a manifest asks the decoder for (NeMo: collections/common/prompts/canary2.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eartune.manifest import Utterance

END = "<|endoftext|>"
_START_OF_CONTEXT = "<|startofcontext|>"
START = "<|startoftranscript|>"
# NeMo's values for what neither the row nor the model says
_SLOTS = {
    "decodercontext": "",
    "emotion": "<|emo:undefined|>",
    "pnc": "yes",
    "itn": "no",
    "timestamp": "no",
    "diarize": "no",
}
_YES = frozenset({"yes", "1", "True", "true"})


@dataclass(frozen=True)
class Prompts:
    """Writes prompts; `defaults` are the model's own values of slots, `task` and `language` those of the run."""

    defaults: Mapping[str, str]
    task: str
    language: str | None

    def language_of(self, utterance: Utterance) -> str | None:
        """Return the language of the text: the row's, the run's, or the model's own."""
        return utterance.language or self.language or self._default_language("target_lang")

    def source_of(self, utterance: Utterance) -> str | None:
        """Return the language that is spoken."""
        return utterance.extra.get("source_lang") or self.language_of(utterance)

    def target_of(self, utterance: Utterance) -> str | None:
        """Return the language that is written: English where the run translates and the row does not say into what."""
        named = utterance.extra.get("target_lang")
        return str(named) if named else "en" if self.task == "translate" else self.language_of(utterance)

    def write(self, utterance: Utterance) -> str:
        """Return the prompt as text. The languages must be known."""
        slots = {name: self._slot(name, utterance.extra) for name in _SLOTS}
        switches = "".join(_switch(name, slots[name]) for name in ("pnc", "itn", "timestamp", "diarize"))
        source, target = (_marked(str(code)) for code in (self.source_of(utterance), self.target_of(utterance)))
        return f"{_START_OF_CONTEXT}{slots['decodercontext']}{START}{slots['emotion']}{source}{target}{switches}"

    def _slot(self, name: str, row: Mapping[str, Any]) -> str:
        return str(row.get(name, self.defaults.get(name, _SLOTS[name])))

    def _default_language(self, slot: str) -> str | None:
        marked = self.defaults.get(slot)
        return marked.removeprefix("<|").removesuffix("|>") if marked else None


def slot_defaults(turns: Any) -> dict[str, str]:
    """Read `prompt_defaults` of a NeMo configuration: a list of turns, of which the user's has the slots."""
    for turn in turns if isinstance(turns, list) else []:
        if isinstance(turn, Mapping) and turn.get("role") == "user" and isinstance(turn.get("slots"), Mapping):
            return {str(name): str(value) for name, value in turn["slots"].items() if value is not None}
    return {}


def _marked(language: str) -> str:
    return language if language.startswith("<|") else f"<|{language}|>"


def _switch(name: str, value: str) -> str:
    """Write a switch as NeMo reads it: what is not a yes is a no."""
    yes, no = f"<|{name}|>", f"<|no{name}|>"
    if value in (yes, no):
        return value
    return yes if value in _YES or value == name else no
