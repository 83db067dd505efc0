"""Prompt slots of a row for models of NeMo, in the spellings people use: languages, switches, emotion and task.

NeMo: collections/common/prompts/canary2.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from eartune.languages import language_code, whisper_code

SWITCHES = ("pnc", "itn", "timestamp", "diarize")
# a key of NeMo's, and what else rows call it
SPELLINGS = {
    "source_lang": ("source_lang", "source_language", "src_lang"),
    "target_lang": ("target_lang", "target_language", "tgt_lang"),
    "timestamp": ("timestamp", "timestamps"),
}
TASK_NAMES = ("taskname", "task")
_YES = frozenset({"yes", "y", "true", "on", "1", "1.0"})
_NO = frozenset({"no", "n", "false", "off", "0", "0.0"})
_TASKS = {
    "asr": "transcribe",
    "transcribe": "transcribe",
    "transcription": "transcribe",
    "ast": "translate",
    "s2t_translation": "translate",
    "st": "translate",
    "translate": "translate",
    "translation": "translate",
}


def value_of(row: Mapping[str, Any], name: str) -> Any:
    """Return what a row says under a key of NeMo's or another spelling of it; None: nothing."""
    for spelling in SPELLINGS.get(name, (name,)):
        value = row.get(spelling)
        # times in a list are not switch
        if value is not None and value != "" and (spelling != "timestamps" or read_switch(name, value) is not None):
            return value
    return None


def read_switch(name: str, value: Any) -> bool | None:
    """Read yes or no in any spelling (yes, true, 1, pnc, <|nopnc|>); None: it is neither."""
    spelled = bare(value).lower()
    if spelled in _YES or spelled == name:
        return True
    return False if spelled in _NO or spelled == f"no{name}" else None


def read_language(value: Any, known: Collection[str]) -> str | None:
    """Return a language as the model calls it where it is among `known`, else its code; None: it is not understood."""
    if not isinstance(value, str):
        return None
    code = language_code(value)
    for name in (bare(value), bare(value).lower(), code, whisper_code(code)):
        if name in known:
            return name
    return code


def read_emotion(value: Any) -> str:
    """Return the token of an emotion (happy, emo:happy, <|emo:happy|>)."""
    return f"<|emo:{bare(value).lower().removeprefix('emo:')}|>"


def other_languages(row: Mapping[str, Any], language: str | None, *, task: str) -> str | None:
    """Say that a row asks for other languages than an exported Canary is told, or None.

    It is told the language spoken, and writes it too, or English where its task is translate.
    """
    told = (language, "en" if task == "translate" else language)
    named = [value_of(row, name) for name in ("source_lang", "target_lang")]
    asked = tuple(
        default if value is None else read_language(value, ()) for value, default in zip(named, told, strict=True)
    )
    if asked == told:
        return None
    return (
        f"the row asks for {asked[0]} -> {asked[1]}, and the export is told {told[0]} -> {told[1]} (by lang or "
        "--language, and the task it was exported for): evaluate the model that was exported"
    )


def task_named(row: Mapping[str, Any]) -> Any:
    """Return what a row says of its task; None: nothing."""
    return next((row[name] for name in TASK_NAMES if row.get(name) not in (None, "")), None)


def read_task(value: Any) -> str | None:
    """Return transcribe or translate; None: it is neither."""
    return _TASKS.get(bare(value).lower())


def bare(value: Any) -> str:
    """Return a value as text, without the marks of a token."""
    return str(value).strip().removeprefix("<|").removesuffix("|>")


def listed(names: Sequence[str], *, most: int = 40) -> str:
    """Return names with commas between them, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
