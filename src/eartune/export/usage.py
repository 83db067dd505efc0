"""Code for model cards that runs an export, as its family declares it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from eartune.family import Usage, family_named


def usages(family: str, format: str, *, exported: Path, file: str, language: str | None) -> list[Usage]:
    """Return the snippets that run an export; `file` is its name in the card."""
    named = {"{file}": file, "{language}": language or "en"}
    return [_filled(each, named) for each in family_named(family).formats[format].usages(exported)]


def _filled(usage: Usage, named: dict[str, str]) -> Usage:
    text = usage.text
    for mark, value in named.items():
        text = text.replace(mark, value)
    return replace(usage, text=text.strip() + "\n")
