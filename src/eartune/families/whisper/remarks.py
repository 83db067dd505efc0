"""Remarks on unusual utterances that Whisper is still trained on, one sentence for each kind."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from eartune.families.whisper.labels import LabelEncoder
from eartune.families.whisper.symbols import mark_in
from eartune.manifest import Utterance
from eartune.manifest.remarks import no_speech_remarks, rows_remark, times_asked_for

_FOR_TRANSCRIPTS = "for transcripts set --task transcribe"


def remarks(labeler: LabelEncoder, utterances: Sequence[Utterance]) -> list[str]:
    """Return remarks, each with a count and the first source."""
    untranslated = [utterance for utterance in utterances if labeler.task == "translate" and _is_not_latin(utterance)]
    return [
        *no_speech_remarks(utterances),
        *_marks(utterances),
        *rows_remark(
            untranslated,
            f"is not in Latin letters and is trained as a translation into English ({_FOR_TRANSCRIPTS})",
            f"are not in Latin letters and are trained as translations into English ({_FOR_TRANSCRIPTS})",
        ),
        *times_asked_for(utterances),
        *_stand_ins(labeler, utterances),
    ]


def _marks(utterances: Sequence[Utterance]) -> list[str]:
    marked = [utterance for utterance in utterances if mark_in(utterance.text)]
    if not marked:
        return []
    what = f"such as {mark_in(marked[0].text)}, which Whisper's decoding never writes (remove such marks)"
    return rows_remark(
        marked, f"is trained to write a mark as letters, {what}", f"are trained to write marks as letters, {what}"
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
            found += rows_remark(
                rows,
                f"is in {language} and is trained with the token <|{code}|>",
                f"are in {language} and are trained with the token <|{code}|>",
            )
    return found


def _is_not_latin(utterance: Utterance) -> bool:
    letters = [letter for letter in utterance.text if letter.isalpha()]
    latin = sum(letter.isascii() or unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    return latin < len(letters) / 2
