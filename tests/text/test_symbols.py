"""Symbols in texts."""

import pytest

from eartune.text.symbols import symbol_problem

KNOWN = {"<|en|>", "<|0|>", "<|spltoken3|>", "<pad>"}


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("<|en|> good", "'<|en|>', the symbol of a language"),
        ("<|de-AT|> gut", "symbol of a language"),
        ("good<|endoftext|>", "'<|endoftext|>', a special token that is not spoken"),
        ("<|startoftranscript|> good", "not spoken"),
        ("good <|laughter|>", "not spoken"),
        ("good <pad>", "not spoken"),
        ("<s> good </s>", "not spoken"),
        ("good <unk> day", "'<unk>', which a tokenizer wrote for unknown characters"),
        ("good ⁇ day", "unknown characters"),
        ("<|nospeech|> good", "leave the text empty where nobody speaks"),
        ("<|0|> good <|5|>", "'<|0|>', a time, and the row does not ask for times"),
        ("good <|1.20|> day", "'<|1.20|>', a time as Whisper writes it"),
    ],
)
def test_a_symbol_is_named_with_its_meaning(text: str, meaning: str) -> None:
    assert meaning in (symbol_problem(text, known=KNOWN) or "")


@pytest.mark.parametrize("text", ["good <|spltoken3|>", "a < b | c > d", "[laughter]", "<b>good</b>", "", "why ??"])
def test_other_texts_and_symbols_of_the_models_own_are_none(text: str) -> None:
    assert symbol_problem(text, known=KNOWN) is None


def test_times_may_be_asked_for() -> None:
    assert symbol_problem("<|0|> good <|5|>", times=True) is None
    assert symbol_problem("<|0|> good <|en|>", times=True) is not None
