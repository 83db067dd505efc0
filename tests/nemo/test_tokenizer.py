"""Tokenizers, compared with the library sentencepiece."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from eartune.errors import InputError
from eartune.families._nemo.archive import read_archive
from eartune.families._nemo.tokenizer import (
    MODEL_FILE,
    SentencePieceTokenizer,
    build_tokenizer,
    folder_tokenizer,
    normalise,
    parse_model,
    pipeline,
)
from tests.tiny_nemo import CANARY_SPECIALS, SENTENCES, train_sentencepiece

SYMBOLS = ("<|en|>", "<|pnc|>", "<en-US>")
MODELS = {
    "bpe": train_sentencepiece(),
    "unigram": train_sentencepiece(model_type="unigram", vocab_size=100),
    "identity": train_sentencepiece(normalization_rule_name="identity"),
    "lower": train_sentencepiece(normalization_rule_name="nmt_nfkc_cf"),
    "canary": train_sentencepiece(canary=True),
    "canary-unigram": train_sentencepiece(canary=True, model_type="unigram", vocab_size=140),
    # what NeMo's script has trained since 2.1
    "spaces": train_sentencepiece(remove_extra_whitespaces=False, whole=SYMBOLS),
    "spaces-unigram": train_sentencepiece(
        remove_extra_whitespaces=False, model_type="unigram", vocab_size=100, whole=SYMBOLS
    ),
    "bytes": train_sentencepiece(byte_fallback=True, vocab_size=416),
}
OURS = {name: build_tokenizer(model, where=name) for name, model in MODELS.items()}
THEIRS = {name: sentencepiece.SentencePieceProcessor(model_proto=model) for name, model in MODELS.items()}

# what the models were trained on, what they do not know, what is normalised, symbols, and all of it in any order
WORDS = st.sampled_from([word for sentence in SENTENCES for word in sentence.split()])
STRANGE = st.sampled_from(
    ["", "  ", "\t", "\n", "\u00a0", "\u3000", "☯", "漢字", "日本語", "ﬁ", "①", "Ⅳ", "e\u0301", "é", "½",
     "🎤", "▁", "...", "🇫🇷", "ß", "ẞ", "İ", "ñ", "العربية", "हिन्दी", "한국어", "\u200b", "\ufeff",
     "<unk>", "⁇", *CANARY_SPECIALS[:8], *SYMBOLS, "<|", "|>", "<0x41>", "\x07", "～", "ＡＢ", "👨‍👩‍👧",
     "²\u0301", "e\u0302\u0301", "\u1112\u1161\u11ab"]
)  # fmt: skip
# as people write: what the library tokenizers normalises as sentencepiece does
PLAIN = st.sampled_from(
    ["", "  ", "\t", "\u00a0", "\u3000", "☯", "漢字", "ﬁ", "①", "Ⅳ", "e\u0301", "e\u0302\u0301", "½", "🎤", "▁", "🇫🇷",
     "ß", "～", "ＡＢ", "हिन्दी", "한국어", "\u200b", "⁇", "<|en|>", "<|pnc|>", "<|", "MIX"]
)  # fmt: skip
LETTERS = st.text(st.characters(exclude_categories=["Cs", "Cn", "Co", "Mn", "Mc", "Me"]), max_size=8)
SEPARATORS = st.sampled_from([" ", " ", "  ", "", "-", "\n"])
TEXTS = st.lists(st.tuples(WORDS | STRANGE | LETTERS, SEPARATORS), max_size=12).map(
    lambda parts: "".join(map("".join, parts))
)


@cache
def trained(model_type: str, *, symbols: bool, **options: Any) -> bytes:
    size = (100 if model_type == "unigram" else 160) + 256 * options["byte_fallback"]
    return train_sentencepiece(model_type=model_type, vocab_size=size, whole=SYMBOLS * symbols, **options)


@cache
def both(model: bytes) -> tuple[SentencePieceTokenizer, sentencepiece.SentencePieceProcessor]:
    return build_tokenizer(model, where=""), sentencepiece.SentencePieceProcessor(model_proto=model)


ANY_MODEL = st.builds(
    trained,
    st.sampled_from(["unigram", "bpe"]),
    symbols=st.booleans(),
    byte_fallback=st.booleans(),
    add_dummy_prefix=st.booleans(),
    remove_extra_whitespaces=st.booleans(),
    normalization_rule_name=st.sampled_from(["nmt_nfkc", "identity", "nmt_nfkc_cf"]),
)


@settings(max_examples=200)
@given(model=ANY_MODEL, texts=st.lists(TEXTS, min_size=1, max_size=4), data=st.data())
def test_any_model_gives_the_tokens_and_the_text_of_sentencepiece(
    model: bytes, texts: list[str], data: st.DataObject
) -> None:
    ours, theirs = both(model)
    assert ours(texts, add_special_tokens=False).input_ids == theirs.encode(texts)
    assert ours(texts[0]).input_ids == theirs.encode(texts[0])
    tokens = data.draw(st.lists(st.integers(0, theirs.get_piece_size() - 1), max_size=20))
    assert ours.decode(tokens) == theirs.decode(tokens)


@settings(max_examples=200)
@given(model=ANY_MODEL, text=st.lists(st.tuples(WORDS | PLAIN, SEPARATORS), max_size=8))
def test_the_pipeline_of_a_saved_folder_cuts_and_writes_ordinary_text_alike(
    model: bytes, text: list[tuple[str, str]]
) -> None:
    ours, theirs = both(model)
    fast, written = ours.backend_tokenizer, "".join(map("".join, text))
    tokens = theirs.encode(written)
    assert fast.encode(written).ids == tokens
    assert fast.decode(tokens, skip_special_tokens=False) == theirs.decode(tokens)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=60)
@given(text=TEXTS)
def test_any_text_gives_the_tokens_of_sentencepiece(name: str, text: str) -> None:
    assert OURS[name](text, add_special_tokens=False).input_ids == THEIRS[name].encode(text)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=150)
@given(data=st.data())
def test_any_tokens_give_the_text_of_sentencepiece(name: str, data: st.DataObject) -> None:
    tokens = data.draw(st.lists(st.integers(0, THEIRS[name].get_piece_size() - 1), max_size=20))
    assert OURS[name].decode(tokens) == THEIRS[name].decode(tokens)


def test_sentences_come_back_as_they_are_and_unknown_characters_as_sentencepiece_writes_them() -> None:
    tokenizer = OURS["bpe"]
    for sentence in SENTENCES:
        assert tokenizer.decode(tokenizer(sentence, add_special_tokens=False).input_ids) == sentence
    assert tokenizer.decode(tokenizer("the 漢字 pump").input_ids) == "the  ⁇  pump"


def test_special_tokens_are_left_out_on_request_and_are_letters_in_a_text(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(MODELS["canary"], where="canary", eos_token="<|endoftext|>", pad_token="<pad>")
    tokens = tokenizer("check the oil").input_ids
    assert tokenizer.eos_token_id == THEIRS["canary"].piece_to_id("<|endoftext|>")
    assert tokenizer.decode([*tokens, tokenizer.eos_token_id], skip_special_tokens=True) == "check the oil"
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for text in ("a<|endoftext|>b", "<|en|> the <pad>", "ein Äpfel  fällt"):
        assert again(text, add_special_tokens=False).input_ids == THEIRS["canary"].encode(text), text
        assert again(text).input_ids == THEIRS["canary"].encode(text), text


def test_a_folder_with_its_tokenizer_model_is_cut_as_sentencepiece_does(tmp_path: Path) -> None:
    OURS["bpe"].save_pretrained(tmp_path)
    odd = "x²\u0301"
    assert folder_tokenizer(tmp_path)(odd).input_ids != THEIRS["bpe"].encode(odd)
    (tmp_path / MODEL_FILE).write_bytes(MODELS["bpe"])
    assert folder_tokenizer(tmp_path)(odd).input_ids == THEIRS["bpe"].encode(odd)
    # that of another model says nothing of this one
    (tmp_path / MODEL_FILE).write_bytes(MODELS["unigram"])
    assert not isinstance(folder_tokenizer(tmp_path), SentencePieceTokenizer)
    (tmp_path / MODEL_FILE).write_bytes(b"no model")
    with pytest.raises(InputError, match=r"tokenizer\.model: is not a SentencePiece model"):
        folder_tokenizer(tmp_path)


def test_letters_in_parts_are_whole_to_the_tokenizer_of_a_folder_of_the_hub(tmp_path: Path) -> None:
    """Such a folder has no tokenizer.model, and its pipeline does not compose."""
    proto = parse_model(MODELS["bpe"], "")
    hub = pipeline(proto)
    charsmap = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    hub.normalizer = normalizers.Sequence([charsmap, normalizers.Replace(" ", "▁"), normalizers.Prepend("▁")])
    PreTrainedTokenizerFast(tokenizer_object=hub).save_pretrained(tmp_path)
    for _ in range(2):
        tokenizer = folder_tokenizer(tmp_path)
        assert normalise(tokenizer, unicodedata.normalize("NFD", "tiếng Việt")) == "▁tiếng▁Việt"
        assert tokenizer.backend_tokenizer.to_str().count('"NFC"') == 1
        tokenizer.save_pretrained(tmp_path)


@pytest.mark.real_speech
@pytest.mark.parametrize("kind", ["parakeet-ctc", "parakeet-tdt", "canary"])
def test_tokenizers_of_nemo_give_the_same_tokens(shared_dir: Path, kind: str) -> None:
    archive = read_archive(shared_dir / "models" / "nemo-tiny" / f"{kind}.nemo")
    model = archive.file(archive.config["tokenizer"]["model_path"])
    ours = build_tokenizer(model, where=kind)
    theirs = sentencepiece.SentencePieceProcessor(model_proto=model)
    for text in (*SENTENCES, "seven eight zwölf fünf", " ein  zwei ", "<|en|>one<|0|> two"):
        assert ours(text).input_ids == theirs.encode(text)


@pytest.mark.real_speech
def test_the_tokenizer_of_nemotron_gives_the_same_tokens(shared_dir: Path) -> None:
    model = (shared_dir / "nemo-configs" / "nemotron-3.5.tokenizer.model").read_bytes()
    ours, theirs = build_tokenizer(model, where=""), sentencepiece.SentencePieceProcessor(model_proto=model)
    for text in (
        *SENTENCES,
        "",
        " a  b ",
        "\t",
        "ＡＢＣ ﬁ ²\u0301",
        "<unk>",
        "<bg-BG> здравей<bg-BG>",
        "▁",
        "漢字 🎤",
        "\x07",
    ):
        tokens = theirs.encode(text)
        assert ours(text).input_ids == tokens
        assert ours.decode(tokens) == theirs.decode(tokens)


def changed(change: Callable[[Any], object]) -> bytes:
    """Return a model with something of it changed."""
    proto = parse_model(MODELS["bpe"], "")
    change(proto)
    model: bytes = proto.SerializeToString()
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (b"not a model", "is not a SentencePiece model"),
        (b"", "is not a SentencePiece model"),
        (
            train_sentencepiece(model_type="char", vocab_size=60),
            "is not a SentencePiece model of the types unigram and bpe",
        ),
        (changed(lambda proto: setattr(proto.pieces[9], "type", 5)), r"has unused pieces \('"),
        (
            changed(lambda proto: setattr(proto.normalizer_spec, "escape_whitespaces", False)),
            "escape_whitespaces is off",
        ),
        (changed(lambda proto: proto.denormalizer_spec.MergeFrom(proto.normalizer_spec)), "rewrites decoded text"),
        (
            changed(lambda proto: setattr(proto.pieces[9], "piece", proto.pieces[8].piece)),
            "sentencepiece cannot read it",
        ),
        (train_sentencepiece(treat_whitespace_as_suffix=True), "treats spaces as suffixes"),
    ],
    ids=["text", "empty", "char", "unused", "spaces", "denormalizer", "twice", "suffix"],
)
def test_models_that_are_not_supported_are_refused(model: bytes, message: str) -> None:
    with pytest.raises(InputError, match=rf"model\.nemo: {message}"):
        build_tokenizer(model, where="model.nemo")
