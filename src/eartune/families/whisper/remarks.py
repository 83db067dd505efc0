"""Remarks on odd utterances that a Whisper is trained on all the same, one sentence for each kind."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from eartune.errors import InputError
from eartune.families.whisper.labels import LabelEncoder
from eartune.families.whisper.symbols import mark_in
from eartune.manifest import Utterance
from eartune.manifest.remarks import times_asked_for


def remarks(labeler: LabelEncoder, utterances: Sequence[Utterance]) -> list[str]:
    """Say what is odd, with counts and the first source of each."""
    silent = [utterance for utterance in utterances if not utterance.text.strip()]
    marked = [utterance for utterance in utterances if mark_in(utterance.text)]
    untranslated = [utterance for utterance in utterances if labeler.task == "translate" and _is_not_latin(utterance)]
    found = []
    if silent:
        found.append(f"{_rows(silent, 'has an empty text', 'have an empty text')} as no speech{_first(silent)}")
    if marked:
        what = f"a mark such as {mark_in(marked[0].text)}"
        found.append(
            f"{_rows(marked, f'holds {what}', f'hold {what}')} to write it as letters, which Whisper's decoding never "
            f"does: remove such marks{_first(marked)}"
        )
    if untranslated:
        found.append(
            f"{_rows(untranslated, 'is not in Latin letters', 'are not in Latin letters')} as a translation into "
            f"English: for transcripts set --task transcribe{_first(untranslated)}"
        )
    return found + times_asked_for(utterances) + _stand_ins(labeler, utterances)


def require_words(utterances: Sequence[Utterance]) -> None:
    """Raise InputError where no utterance has a text: a model trained on these would only learn to be silent."""
    if utterances and not any(utterance.text.strip() for utterance in utterances):
        raise InputError(
            f"none of the {len(utterances)} rows to train on has a text, the first: {utterances[0].source}; "
            "check the column of transcripts"
        )


def _stand_ins(labeler: LabelEncoder, utterances: Sequence[Utterance]) -> list[str]:
    by_language: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        language = labeler.language_of(utterance)
        if language is not None and labeler.languages and language not in labeler.languages:
            by_language.setdefault(language, []).append(utterance)
    found = []
    for language, rows in sorted(by_language.items()):
        code = labeler.stand_ins.token_code(language, labeler.languages)
        if labeler.stand_ins.codes() and code in labeler.stand_ins.token_codes():
            found.append(f"{_rows(rows, f'is in {language}', f'are in {language}')} with the token <|{code}|>")
    return found


def _rows(rows: Sequence[Utterance], one: str, many: str) -> str:
    return f"1 row {one} and is trained" if len(rows) == 1 else f"{len(rows)} rows {many} and are trained"


def _first(rows: Sequence[Utterance]) -> str:
    return f", the first: {rows[0].source}" if rows[0].source else ""


def _is_not_latin(utterance: Utterance) -> bool:
    letters = [letter for letter in utterance.text if letter.isalpha()]
    latin = sum(letter.isascii() or unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    return latin < len(letters) / 2
