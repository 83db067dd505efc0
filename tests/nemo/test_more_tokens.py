"""Tokenizers with tokens for more characters, compared with the library sentencepiece and with themselves before."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from eartune.errors import InputError
from eartune.families._nemo.more_tokens import add_to_sentencepiece, add_to_tokenizer, lacking_characters
from eartune.families._nemo.tokenizer import build_tokenizer, parse_model, pipeline
from tests.nemo.test_tokenizer import MODELS as TRAINED
from tests.nemo.test_tokenizer import TEXTS
from tests.tiny_nemo import train_sentencepiece


def with_pieces(model: bytes, scores: dict[str, float]) -> bytes:
    """Return a model that knows letters together, and some of them not alone."""
    proto = parse_model(model, "")
    for piece, score in scores.items():
        proto.pieces.add(piece=piece, score=score)
    extended: bytes = proto.SerializeToString()
    return extended


MODELS = {
    **TRAINED,
    # kщ and ж would be likelier than k and щж if ж had the score of the worst piece
    "unigram-pairs": with_pieces(TRAINED["unigram"], {"kщ": -3.0, "щж": -19.0}),
    "whole": train_sentencepiece(whole=("щ☯",)),
    "whole-unigram": train_sentencepiece(whole=("щ☯",), model_type="unigram", vocab_size=100),
}
# none of them is in the sentences that the models were trained on
NEW = "жщ☯漢λєñї½"
EXTENDED = {name: add_to_sentencepiece(model, NEW, where=name) for name, model in MODELS.items()}
THEIRS = {name: sentencepiece.SentencePieceProcessor(model_proto=model) for name, model in EXTENDED.items()}
THEIRS_BEFORE = {name: sentencepiece.SentencePieceProcessor(model_proto=model) for name, model in MODELS.items()}
BEFORE = {name: build_tokenizer(model, where=name) for name, model in MODELS.items()}
OURS = {name: add_to_tokenizer(BEFORE[name], NEW, first=len(THEIRS_BEFORE[name])) for name in MODELS}
MIXED = st.lists(TEXTS | st.text(NEW + "абвkt ", max_size=6) | st.sampled_from(["kщж", "щ☯"]), max_size=4).map("".join)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=150)
@given(text=MIXED)
def test_any_text_gives_the_tokens_of_the_extended_sentencepiece_model(name: str, text: str) -> None:
    assert OURS[name](text, add_special_tokens=False).input_ids == THEIRS[name].encode(text)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=150)
@given(text=MIXED)
def test_text_that_was_known_is_cut_as_before(name: str, text: str) -> None:
    before = THEIRS_BEFORE[name]
    known = before.encode(text)
    if not any(before.is_unknown(token) or before.is_byte(token) for token in known):
        assert THEIRS[name].encode(text) == known
        assert OURS[name](text, add_special_tokens=False).input_ids == BEFORE[name](text).input_ids


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=100)
@given(data=st.data())
def test_any_tokens_give_the_text_of_the_extended_sentencepiece_model(name: str, data: st.DataObject) -> None:
    tokens = data.draw(st.lists(st.integers(0, THEIRS[name].get_piece_size() - 1), max_size=20))
    assert OURS[name].decode(tokens) == THEIRS[name].decode(tokens)


@pytest.mark.parametrize("name", MODELS)
def test_the_new_characters_are_the_last_pieces(name: str) -> None:
    old = len(THEIRS_BEFORE[name])
    for pieces in (THEIRS[name].id_to_piece, OURS[name].convert_ids_to_tokens):
        assert "".join(pieces(list(range(old, old + len(NEW))))) == NEW
    assert len(THEIRS[name]) == len(OURS[name]) == old + len(NEW)
    assert [THEIRS[name].id_to_piece(n) for n in range(old)] == [THEIRS_BEFORE[name].id_to_piece(n) for n in range(old)]


def test_an_extended_tokenizer_is_saved_and_extended_again(tmp_path: Path) -> None:
    OURS["bpe"].save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    again = add_to_tokenizer(loaded, "ю", first=len(loaded))
    twice = sentencepiece.SentencePieceProcessor(model_proto=add_to_sentencepiece(EXTENDED["bpe"], "ю", where=""))
    for text in ("жюж the pump", "ю", "закройте щ"):
        assert loaded(text).input_ids == THEIRS["bpe"].encode(text)
        assert again(text).input_ids == twice.encode(text)
    # the one that was extended is as it was
    assert BEFORE["bpe"]("ж").input_ids == THEIRS_BEFORE["bpe"].encode("ж")


@pytest.mark.parametrize("name", ["bpe", "unigram"])
def test_a_blank_that_the_tokenizer_of_a_folder_has_as_its_last_token_stays_the_last(name: str, tmp_path: Path) -> None:
    """The hub's copies have a padding token behind the pieces, with the number of the network's blank."""
    tokenizer, old = (
        PreTrainedTokenizerFast(tokenizer_object=pipeline(parse_model(MODELS[name], ""))),
        len(BEFORE[name]),
    )
    tokenizer.add_special_tokens({"pad_token": AddedToken("<blank>", special=True)})
    assert tokenizer.pad_token_id == old
    extended = add_to_tokenizer(tokenizer, NEW, first=old)
    extended.save_pretrained(tmp_path)
    for found in (extended, AutoTokenizer.from_pretrained(tmp_path)):
        assert found.pad_token_id == old + len(NEW)
        assert found("щ").input_ids[-1] == old + NEW.index("щ")
        assert found("the pump").input_ids == BEFORE[name]("the pump").input_ids
        assert found.decode([*found("жщ").input_ids, found.pad_token_id], skip_special_tokens=True) == "жщ"


def test_lacking_characters_are_counted_after_normalisation() -> None:
    lacking = lacking_characters(BEFORE["bpe"], ["ffi ﬁ the ☯", "жж ☯☯ щ\tё\u00a0", "и\u0306 ё е\u0308", "ў"])
    # ﬁ becomes f and i, which are known; letters in two parts are one
    assert list(lacking.items()) == [("ё", 3), ("☯", 3), ("ж", 2), ("щ", 1), ("ў", 1)]
    assert not lacking_characters(BEFORE["bpe"], [])
    assert not lacking_characters(OURS["bpe"], ["жщ☯漢 the"])


@pytest.mark.parametrize("name", ["bpe", "unigram"])
def test_characters_that_have_a_token_are_refused(name: str) -> None:
    for characters, first in (("tж", "t"), ("жщж", "ж")):
        with pytest.raises(InputError, match=re.escape(f"{first!r} already has a token")):
            add_to_tokenizer(BEFORE[name], characters, first=len(BEFORE[name]))
        with pytest.raises(InputError, match=re.escape(f"{first!r} already has a token")):
            add_to_sentencepiece(MODELS[name], characters, where=name)


def test_a_tokenizer_of_another_size_than_the_network_is_refused() -> None:
    with pytest.raises(InputError, match="does not have a token for each of the network's 9999"):
        add_to_tokenizer(BEFORE["bpe"], "ж", first=9999)
