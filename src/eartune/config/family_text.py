"""Help texts of options in which the declared families fill in what differs between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from eartune.family import Family, families, joined


def filled(text: str) -> str:
    """Return a help text with its marks replaced: {max_durations}, {takers of OPTION}, {with FORMAT}, ..."""
    if "{" not in text:
        return text
    for mark, found in _texts().items():
        text = text.replace("{" + mark + "}", found)
    return text


def _texts() -> Mapping[str, str]:
    def titles(chosen: Callable[[Family], bool]) -> str:
        return joined([family.title for family in families().values() if chosen(family)])

    durations = sorted({family.max_duration_s for family in families().values()})
    files = {family.single_file.title for family in families().values() if family.single_file}
    return {
        "max_durations": ", ".join(f"{s:g} for {titles(partial(_lasts, s))}" for s in durations),
        "single_files": " or ".join(sorted(files, reverse=True)),
        "example": next(iter(families().values())).example,
        "takers of extend_vocabulary": titles(lambda f: "extend_vocabulary" not in f.refused),
        "takers of new_vocabulary": titles(lambda f: "new_vocabulary" not in f.refused),
        "takers of freeze_feature_encoder": titles(lambda f: "freeze_feature_encoder" not in f.refused),
        "takers of language_token": titles(lambda f: "language_token" not in f.refused),
        "with nemo": titles(lambda f: "nemo" in f.formats),
    }


def _lasts(limit_s: float, family: Family) -> bool:
    return family.max_duration_s == limit_s
