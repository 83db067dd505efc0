"""A tokenizer measured against texts, by hand counts."""

import io
from pathlib import Path

import pytest
import sentencepiece
from transformers import PreTrainedTokenizerBase

from eartune.errors import InputError
from eartune.families._nemo.coverage import (
    Alphabet,
    measure_coverage,
    require_covered,
    unknown_characters,
    unknown_finding,
)
from eartune.families._nemo.tokenizer import build_tokenizer
from eartune.families.parakeet.load import load
from eartune.families.registry import family
from eartune.manifest import Utterance
from eartune.text.lacking import explain


def rows(*texts: str) -> list[Utterance]:
    return [
        Utterance(audio=Path("a.wav"), text=text, duration_s=2.0, source=f"t.jsonl:{number}")
        for number, text in enumerate(texts, start=1)
    ]


@pytest.fixture(scope="module")
def tokenizer(tiny_nemo: dict[str, Path]) -> PreTrainedTokenizerBase:
    return load(family("parakeet").find(str(tiny_nemo["ctc"]))).tokenizer


def small_tokenizer(sentences: str, *whole: str) -> PreTrainedTokenizerBase:
    """A tokenizer that knows the letters of a sentence, and symbols that it keeps whole."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([sentences] * 9), model_writer=model, vocab_size=200, hard_vocab_limit=False, bos_id=-1,
        eos_id=-1, character_coverage=1.0, minloglevel=2, user_defined_symbols=list(whole),
    )  # fmt: skip
    return build_tokenizer(model.getvalue(), where="a small tokenizer")


LOWER = small_tokenizer("good morning the quick brown fox jumps over lazy dogs", "<|0|>", "<|5|>", "[noise]")


def test_characters_and_tokens_are_counted(tokenizer: PreTrainedTokenizerBase) -> None:
    coverage = measure_coverage(tokenizer, rows("oil ☃", "☃ the ♞ pump"))
    assert coverage.characters == 3 + 1 + 3 + 1 + 4 + 1
    assert coverage.unknown == {"☃": 2, "♞": 1}
    assert coverage.unknown_rate == pytest.approx(3 / 13)
    expected = sum(len(tokenizer(text, add_special_tokens=False).input_ids) for text in ("oil ☃", "☃ the ♞ pump"))
    assert coverage.tokens == expected
    assert (
        str(coverage) == f"tokenizer: {expected / 4:.1f} tokens a second of speech, 23 % of the characters unknown: ☃ ♞"
    )


def test_another_script_is_refused_with_its_letters(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(InputError, match=r"no token for 100 % of the characters .*3 different ones: 한 국 어"):
        require_covered(tokenizer, rows("한국어"))
    known = require_covered(tokenizer, rows("check the oil " * 20 + "☃"))
    assert known.unknown == {"☃": 1}
    assert "every character known" in str(require_covered(tokenizer, rows("check the oil")))


def test_symbols_that_are_kept_whole_are_one_character() -> None:
    coverage = measure_coverage(LOWER, rows("<|0|> good <|5|>", "[noise] morning"))
    assert not coverage.unknown
    assert coverage.characters == 1 + 4 + 1 + 1 + 7
    assert "every character known" in str(coverage)
    # the letters of other symbols of that kind are counted by nobody: they are findings
    assert measure_coverage(LOWER, rows("<|en|> good")).characters == 4


def test_letters_of_a_symbol_are_unknown_elsewhere() -> None:
    assert unknown_characters(LOWER, ["[noise] good", "[good] <|0|>", "a < b"]) == {"[": 1, "]": 1, "<": 1}


@pytest.mark.parametrize(
    ("text", "kind", "count", "advice"),
    [
        ("GOOD MORNING", "capital letters that it has in lower case", "(11: O G", "write the texts in lower case"),
        ("good mörning", "Latin letters", "(1: ö)", "take a model of this language"),
        ("доброе утро", "Cyrillic letters", "(10: о", "take a model of this language"),
        ("早上好", "CJK characters", "(3: ", "take a model of this language"),
        ("good 42", "digits", "(2: ", "write numbers as words"),
        ("good, morning.", "punctuation and signs", "(2: ", "remove them from the texts"),
        ("good [laughs] morning", "brackets", "(2: ", "remove marks such as '[laughs]', which are not spoken"),
        ("good \u2066 morning", "invisible characters", "(1: U+2066)", "remove them from the texts"),
    ],
)
def test_the_cause_is_named(text: str, kind: str, count: str, advice: str) -> None:
    with pytest.raises(InputError, match=r"in 3 of 4 rows, the first t\.jsonl:2 \(") as refused:
        require_covered(LOWER, rows("good", text, text, text), advice="; or add tokens")
    for told in (kind, advice):
        assert told in str(refused.value)
    finding = unknown_finding(Alphabet(LOWER), text, advice="; or add tokens")
    assert f"({kind}); " in finding
    assert ("letters that it has, or leave it out" if "take a model" in advice else advice) in finding
    # letters that are there in the other case need no tokens
    assert finding.endswith("; or add tokens") == (text != "GOOD MORNING")
    assert f"{kind} {count}" in explain(Alphabet(LOWER).lacking(text), [text], Alphabet(LOWER).has).counts


def test_small_letters_of_a_model_of_capitals() -> None:
    finding = unknown_finding(Alphabet(small_tokenizer("GOOD MORNING")), "good morning")
    assert "lower-case letters that it has as capitals" in finding
    assert finding.endswith("write the texts in capital letters")


def test_one_odd_row_of_several_is_no_other_language() -> None:
    coverage = require_covered(LOWER, rows("good", "☃☃☃☃", "morning", "the fox"))
    assert [row.source for row in coverage.rows] == ["t.jsonl:2"]
    with pytest.raises(InputError, match="in 2 of 4 rows, the first t"):
        require_covered(LOWER, rows("good", "☃☃☃☃", "morning", "☃"))
