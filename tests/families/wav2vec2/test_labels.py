"""Transcripts as characters: what is written, what is left out and said, what is refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eartune.errors import InputError
from eartune.families.wav2vec2.labels import LabelEncoder
from eartune.families.wav2vec2.tokenizer import NEW_VOCABULARY, SpecialTokens, build_tokenizer, text_of
from eartune.manifest import Utterance

HERE = Path("model")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def encoder(letters: str, *, language: str | None = "en", lower: bool = False) -> LabelEncoder:
    special = SpecialTokens(pad="<pad>", unk="<unk>", word_delimiter="|", do_lower_case=lower)
    names = [*special.vocabulary(), *letters]
    tokenizer = build_tokenizer({name: number for number, name in enumerate(names)}, special, where=HERE)
    return LabelEncoder(tokenizer, lambda duration_s: round(50 * duration_s), language)


def row(text: str, duration_s: float = 3.0, **extra: str) -> Utterance:
    return Utterance(Path("x.wav"), text, duration_s, language="en", source="t.jsonl:7", extra=extra)


@pytest.mark.parametrize(
    ("letters", "text", "written"),
    [
        (LETTERS, "Check the oil, please!", "check the oil please"),
        (LETTERS.upper(), "Check the oil.", "CHECK THE OIL"),
        (LETTERS + LETTERS.upper(), "Check", "Check"),
        (LETTERS + "'", "don’t ‘stop’", "don't stop"),
        (LETTERS, "don't", "dont"),
        (LETTERS, "well-known, and/or", "well known and or"),
        (LETTERS + ".", "yes. no?", "yes. no"),
        (LETTERS, "  two \t words\n", "two words"),
        ("aé", "e\u0301", "é"),
        ("кийң", "КИЙҢ", "кийң"),
        ("कि", "कि।", "कि"),
        (LETTERS, "...", ""),
        (LETTERS, "", ""),
    ],
)
def test_texts_are_written_as_the_vocabulary_is(letters: str, text: str, written: str) -> None:
    assert encoder(letters).written(text) == written


@pytest.mark.parametrize(("language", "written"), [("tr", "ılık istanbul"), ("az", "ılık istanbul"), ("en", None)])
def test_turkish_capitals_have_their_own_small_letters(language: str, written: str | None) -> None:
    found = encoder("abcçdefgğhıijklmnoöprsştuüvyz", language=language).written("ILIK İSTANBUL")
    assert found == written if written else found.startswith("ilik")


def test_a_tokenizer_that_lowers_its_output_is_given_capitals() -> None:
    labeler = encoder(LETTERS.upper(), lower=True)
    (tokens,) = labeler.tokens(["Oil"])
    assert labeler.tokenizer.convert_ids_to_tokens(tokens) == ["O", "I", "L"]
    assert text_of(labeler.tokenizer, tokens) == "oil"


@given(st.text(alphabet=LETTERS + LETTERS.upper() + " '.,-?!’äß1", max_size=40))
def test_what_is_written_is_what_is_read_back(text: str) -> None:
    labeler = encoder(LETTERS + "'äß1")
    (tokens,) = labeler.tokens([text])
    assert text_of(labeler.tokenizer, tokens) == labeler.written(text)
    assert labeler.tokenizer.unk_token_id not in tokens
    assert tokens == labeler.tokenizer(labeler.written(text)).input_ids


def test_tokens_of_several_characters_are_read_whole() -> None:
    names = ["<pad>", "<unk>", "|", "s", "c", "h", "sch"]
    tokenizer = build_tokenizer({name: number for number, name in enumerate(names)}, NEW_VOCABULARY, where=HERE)
    labeler = LabelEncoder(tokenizer, lambda duration_s: round(50 * duration_s), "de")
    assert labeler.tokens(["sch hs"]) == [tokenizer("sch hs").input_ids]
    assert 6 in labeler.tokens(["sch hs"])[0]


@given(st.text(max_size=60))
def test_a_vocabulary_of_a_text_lacks_nothing(text: str) -> None:
    new = encoder("")
    lacking = new.lacking([text])
    assert len(set(lacking)) == len(lacking)
    assert encoder(lacking).lacking([text]) == ""


def test_a_new_vocabulary_has_letters_numbers_and_inner_apostrophes() -> None:
    assert encoder("").lacking(["It’s 5, isn't it? ‘No’"]) == "itsn'5o"
    assert NEW_VOCABULARY.vocabulary() == {"<pad>": 0, "<unk>": 1, "|": 2}


@pytest.mark.parametrize(
    ("utterance", "finding"),
    [
        (row("check the oil"), None),
        (row(""), None),
        (row("x", 40.5), "duration 40.5 s exceeds 40 s"),
        (row("x", 0.005), "too short for the encoder"),
        (row("press 2"), "no token for: '2' (digits); write numbers as words"),
        (row("мир"), "Cyrillic letters"),
        (row("<|en|> hello"), "text holds '<|en|>'"),
        (row("oil", 0.05), "need 3 positions of the encoder, and 0.05 s have 2"),
        (row("ll", 0.05), "(1 of them equal the one before) need 3 positions"),
        (row("oil", source_lang="de", target_lang="en"), "the row is a translation from 'de' into 'en'"),
    ],
)
def test_findings(utterance: Utterance, finding: str | None) -> None:
    (found,) = encoder(LETTERS).findings([utterance])
    assert found is None if finding is None else found is not None and finding in found


def test_what_is_not_trained_is_counted() -> None:
    assert encoder(LETTERS).remarks([row("Yes."), row("no"), row("!?"), row("")]) == [
        "1 row has an empty text and is trained as no speech: t.jsonl:7",
        "1 row has no letters and is trained as no speech: t.jsonl:7",
        "2 rows are trained without punctuation that the vocabulary lacks (. ! ?), the first: t.jsonl:7",
    ]


def test_a_vocabulary_of_other_letters_is_refused_with_all_of_them() -> None:
    texts = [row("мир"), row("да"), row("oil")]
    with pytest.raises(InputError, match=r"no token for 62 % of .* in 2 of 3 rows, the first t\.jsonl:7"):
        encoder(LETTERS).describe(texts)
    assert encoder(LETTERS).describe([row("check the oil")]) == (
        "vocabulary: 26 characters, 4.3 of them in a second of speech"
    )
