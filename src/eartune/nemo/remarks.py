"""Sentences about rows that are odd and trained all the same: how many there are, and the first."""

from __future__ import annotations

from collections.abc import Sequence

from eartune.manifest import Utterance


def remark(rows: Sequence[Utterance], one: str, several: str) -> list[str]:
    """Return the sentence about rows: `one` is said of a single one, `several` of more; none where there are none."""
    if not rows:
        return []
    first = rows[0].source or str(rows[0].audio)
    return [f"1 row {one}: {first}" if len(rows) == 1 else f"{len(rows)} rows {several}, the first: {first}"]


def no_speech_remarks(utterances: Sequence[Utterance]) -> list[str]:
    """Say how many rows are trained as no speech."""
    return remark(
        [utterance for utterance in utterances if not utterance.text.strip()],
        "has an empty text and is trained as no speech",
        "have an empty text and are trained as no speech",
    )
