"""Prompt slots of manifest rows for NeMo models, in common spellings: languages, switches, emotion and task.

NeMo: collections/common/prompts/canary2.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from eartune.languages import language_code, openai_code

SWITCHES = ("pnc", "itn", "timestamp", "diarize")
# a key of NeMo, and all its spellings in rows
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
    """Return the value of a row under a NeMo key or another spelling of it, or None."""
    for spelling in SPELLINGS.get(name, (name,)):
        value = row.get(spelling)
        # a list of times is not a switch
        if value is not None and value != "" and (spelling != "timestamps" or read_switch(name, value) is not None):
            return value
    return None


def read_switch(name: str, value: Any) -> bool | None:
    """Read yes or no in any spelling (yes, true, 1, pnc, <|nopnc|>), or return None."""
    spelled = bare(value).lower()
    if spelled in _YES or spelled == name:
        return True
    return False if spelled in _NO or spelled == f"no{name}" else None


def read_language(value: Any, known: Collection[str]) -> str | None:
    """Return a language in the spelling among `known`, else its code, or None if it is not a language."""
    if not isinstance(value, str):
        return None
    code = language_code(value)
    for name in (bare(value), bare(value).lower(), code, openai_code(code)):
        if name in known:
            return name
    return code


def read_emotion(value: Any) -> str:
    """Return the token of an emotion (happy, emo:happy, <|emo:happy|>)."""
    return f"<|emo:{bare(value).lower().removeprefix('emo:')}|>"


def other_languages(row: Mapping[str, Any], language: str | None, *, task: str) -> str | None:
    """Return a finding if a row names other languages than an exported Canary is run with, or None.

    It is run with the spoken language as source and as target, or English as target where its task is translate.
    """
    used = (language, "en" if task == "translate" else language)
    named = [value_of(row, name) for name in ("source_lang", "target_lang")]
    requested = tuple(
        default if value is None else read_language(value, ()) for value, default in zip(named, used, strict=True)
    )
    if requested == used:
        return None
    return (
        f"the row is {requested[0]} -> {requested[1]}, and the export decodes {used[0]} -> {used[1]} (from lang or "
        "--language, and the task it was exported for): evaluate the model that was exported"
    )


def task_named(row: Mapping[str, Any]) -> Any:
    """Return the value of a row for its task, or None."""
    return next((row[name] for name in TASK_NAMES if row.get(name) not in (None, "")), None)


def read_task(value: Any) -> str | None:
    """Return transcribe or translate, or None if it is neither."""
    return _TASKS.get(bare(value).lower())


def bare(value: Any) -> str:
    """Return a value as text, without the delimiters of a token."""
    return str(value).strip().removeprefix("<|").removesuffix("|>")


def listed(names: Sequence[str], *, most: int = 40) -> str:
    """Return names separated by commas, and the number of those not shown."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
