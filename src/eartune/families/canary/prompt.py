"""Canary's prompt: what a row of a manifest asks the decoder for (NeMo: collections/common/prompts/canary2.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from eartune.errors import nearest, shown
from eartune.families._nemo.slots import (
    SWITCHES,
    listed,
    read_emotion,
    read_language,
    read_switch,
    read_task,
    task_named,
    value_of,
)
from eartune.languages import LANGUAGE_NAMES
from eartune.manifest import Utterance
from eartune.text.symbols import SYMBOL

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


@dataclass(frozen=True)
class Prompts:
    """Writes prompts; `defaults` are the model's own values of slots, `task` and `language` those of the run.

    `symbols` are the model's tokens of the form `<|...|>`.
    """

    defaults: Mapping[str, str]
    task: str
    language: str | None
    symbols: frozenset[str] = frozenset()

    @cached_property
    def languages(self) -> frozenset[str]:
        """The languages that the model has a token for."""
        names = {symbol[2:-2] for symbol in self.symbols}
        return frozenset(name for name in names if name.isalpha() and (len(name) == 2 or name in LANGUAGE_NAMES))

    def language_of(self, utterance: Utterance) -> str | None:
        """Return the language of the text: the row's, the run's, or the model's own."""
        return utterance.language or self.language or self._default_language("target_lang")

    def source_of(self, utterance: Utterance) -> str | None:
        """Return the language that is spoken, as the model calls it; None: none is named, or it is not understood."""
        return self._read(self._source(utterance))

    def target_of(self, utterance: Utterance) -> str | None:
        """Return the language that is written: English where a translation does not say into what."""
        return self._read(self._target(utterance))

    def switched(self, name: str, utterance: Utterance) -> bool:
        """Tell whether a row, or the model for it, asks for pnc, itn, timestamp or diarize; what is not yes is a no."""
        return bool(read_switch(name, self._slot(name, utterance.extra)))

    def write(self, utterance: Utterance) -> str:
        """Return the prompt as text. The row must have no problem."""
        return self.fill(
            source=f"<|{self.source_of(utterance)}|>",
            target=f"<|{self.target_of(utterance)}|>",
            switches="".join(f"<|{'' if self.switched(name, utterance) else 'no'}{name}|>" for name in SWITCHES),
            row=utterance.extra,
        )

    def fill(self, *, source: str, target: str, switches: str, row: Mapping[str, Any]) -> str:
        """Return the prompt with these tokens, and the context and emotion of the row or the model."""
        context, emotion = self._slot("decodercontext", row), read_emotion(self._slot("emotion", row))
        return f"{_START_OF_CONTEXT}{context}{START}{emotion}{source}{target}{switches}"

    def problem(self, utterance: Utterance) -> str | None:
        """Say what of a row cannot be put into a prompt, or None."""
        return (
            self._language_problem(utterance)
            or self._task_problem(utterance)
            or self._switch_problem(utterance.extra)
            or self._emotion_problem(utterance.extra)
            or self._context_problem(utterance.extra)
        )

    def unread_task(self, utterance: Utterance) -> str | None:
        """Return a task of the row that is neither transcription nor translation, or None."""
        named = task_named(utterance.extra)
        return None if named is None or read_task(named) else str(named)

    def _source(self, utterance: Utterance) -> Any:
        named = value_of(utterance.extra, "source_lang")
        return self.language_of(utterance) if named is None else named

    def _target(self, utterance: Utterance) -> Any:
        named = value_of(utterance.extra, "target_lang")
        if named is not None:
            return named
        if self._translates(utterance):
            return "en"
        transcribes = read_task(task_named(utterance.extra)) == "transcribe"
        return self._source(utterance) if transcribes else self.language_of(utterance)

    def _translates(self, utterance: Utterance) -> bool:
        return "translate" in (self.task, read_task(task_named(utterance.extra)))

    def _read(self, value: Any) -> str | None:
        return None if value is None else read_language(value, self.languages)

    def _slot(self, name: str, row: Mapping[str, Any]) -> str:
        value = value_of(row, name)
        return str(self.defaults.get(name, _SLOTS[name]) if value is None else value)

    def _default_language(self, slot: str) -> str | None:
        marked = self.defaults.get(slot)
        return marked.removeprefix("<|").removesuffix("|>") if marked else None

    def _language_problem(self, utterance: Utterance) -> str | None:
        for value in (self._source(utterance), self._target(utterance)):
            if value is None:
                return "no language is named; add source_lang and target_lang, or set --language"
            code = self._read(value)
            if code not in self.languages:
                known = sorted(self.languages)
                close = nearest(str(code or value), known) if isinstance(value, str) else ""
                return (
                    f"language {value!r} is not one the model has a token for; it has {listed(known)}: name one of "
                    f"them in source_lang and target_lang, such as a related one.{close}"
                )
        return self._target_problem(utterance)

    def _target_problem(self, utterance: Utterance) -> str | None:
        """Say that only the language spoken is named, and that another one would be written."""
        named = [value_of(utterance.extra, name) is not None for name in ("source_lang", "target_lang")]
        source, target = self.source_of(utterance), self.target_of(utterance)
        if named != [True, False] or source == target or self._translates(utterance):
            return None
        return f"source_lang is {source}, and no target_lang says whether the text is in {source} or {target}: add it"

    def _task_problem(self, utterance: Utterance) -> str | None:
        named = task_named(utterance.extra)
        task, source, target = read_task(named), self.source_of(utterance), self.target_of(utterance)
        if task is None or (task == "translate") == (source != target):
            return None
        does = "translates" if task == "translate" else "transcribes"
        return (
            f"task {named!r} {does}, and the languages are {source} and {target}: make source_lang, target_lang and "
            "the task agree"
        )

    def _switch_problem(self, row: Mapping[str, Any]) -> str | None:
        for name in SWITCHES:
            value = value_of(row, name)
            if value is not None and read_switch(name, value) is None:
                return f"{name} is {shown(value)}, which is neither yes nor no: write one of them, or leave it out"
        return None

    def _emotion_problem(self, row: Mapping[str, Any]) -> str | None:
        value = value_of(row, "emotion")
        if value is None or read_emotion(value) in self.symbols:
            return None
        known = sorted(symbol[6:-2] for symbol in self.symbols if symbol.startswith("<|emo:"))
        return f"emotion is {shown(value)}, and the model has {listed(known)}: write one of them, or leave it out"

    def _context_problem(self, row: Mapping[str, Any]) -> str | None:
        value = value_of(row, "decodercontext")
        if value is not None and not isinstance(value, str):
            return f"decodercontext is {shown(value)}, not text"
        found = SYMBOL.search(value or "")
        return f"decodercontext holds {found[0]!r}, a control token, which nobody speaks: remove it" if found else None


def slot_defaults(turns: Any) -> dict[str, str]:
    """Read `prompt_defaults` of a NeMo configuration: a list of turns, of which the user's has the slots."""
    for turn in turns if isinstance(turns, list) else []:
        if isinstance(turn, Mapping) and turn.get("role") == "user" and isinstance(turn.get("slots"), Mapping):
            return {str(name): str(value) for name, value in turn["slots"].items() if value is not None}
    return {}
