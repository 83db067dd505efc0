"""SentencePiece models as fast tokenizers of Hugging Face, which give the same tokens and the same text.

Format: sentencepiece_model.proto of google/sentencepiece. Symbols that a model was trained with whole (`<|en|>`) are
found in text as SentencePiece finds them, after the space that it puts before each text.
Two differences are known: a unigram model takes the letters `<unk>` in a text for the unknown token, and a mark that is
combined with a character of compatibility (an accent on a superscript) is lost.
"""

from __future__ import annotations

import re
from typing import Any

from google.protobuf.message import DecodeError
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE, Unigram
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import generate_merges, import_protobuf

from eartune.errors import InputError
from eartune.nemo.archive import NemoArchive

SPACE = "▁"
UNKNOWN_TEXT = " ⁇ "
# of sentencepiece_model.proto
_UNIGRAM, _BPE = 1, 2
NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED = 1, 2, 3, 4


def tokenizer_model(archive: NemoArchive) -> bytes:
    """Return the archive's tokenizer.model. Raises InputError for archives with several (`agg`) or another kind."""
    settings = archive.section("tokenizer")
    settings.require("type", None, "bpe")
    return archive.file(str(settings.get("model_path", "tokenizer.model")))


def build_tokenizer(model: bytes, *, where: str, **special_tokens: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer for the bytes of a tokenizer.model; `special_tokens` are such as eos_token="<|endoftext|>".

    Special tokens in a text are text to it, as for SentencePiece. Raises InputError, beginning with `where`, for bytes
    that are no such model and for kinds of models that NeMo's recipes do not make.
    """
    proto = parse_model(model, where)
    tokenizer = Tokenizer(_model(proto))
    tokenizer.normalizer = normalizers.Sequence(_normalizers(proto.normalizer_spec))
    whole = [piece.piece for piece in proto.pieces if piece.type == _USER_DEFINED]
    if whole:
        longest_first = "|".join(re.escape(symbol) for symbol in sorted(whole, key=len, reverse=True))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(longest_first), "isolated")
    unknown = next(piece.piece for piece in proto.pieces if piece.type == _UNKNOWN)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(unknown, UNKNOWN_TEXT),
            decoders.Fuse(),
            decoders.Replace(Regex(rf"\A{SPACE}+"), ""),
            decoders.Replace(SPACE, " "),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=unknown,
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
        **special_tokens,
    )


def piece_ids(model: bytes, *, where: str) -> dict[str, int]:
    """Return the tokens of a tokenizer.model by their pieces."""
    return {piece.piece: number for number, piece in enumerate(parse_model(model, where).pieces)}


def parse_model(model: bytes, where: str) -> Any:
    """Return the bytes of a tokenizer.model as sentencepiece_model.proto describes them.

    Raises InputError, beginning with `where`, for what is no such model and for kinds that NeMo's recipes do not make.
    """
    proto = import_protobuf().ModelProto()
    try:
        proto.ParseFromString(model)
    except DecodeError:
        raise InputError(f"{where}: is no SentencePiece model, or a damaged one; save the model again") from None
    kinds = {piece.type for piece in proto.pieces}
    if proto.trainer_spec.model_type not in (_UNIGRAM, _BPE) or _UNKNOWN not in kinds:
        raise InputError(f"{where}: is no SentencePiece model of the types unigram and bpe; tune it with NeMo")
    if kinds - {NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED}:
        raise InputError(f"{where}: falls back to bytes or has unused pieces: not supported; tune it with NeMo")
    spec = proto.normalizer_spec
    if not (spec.add_dummy_prefix and spec.escape_whitespaces and spec.remove_extra_whitespaces):
        raise InputError(
            f"{where}: keeps spaces as they are (add_dummy_prefix, remove_extra_whitespaces or escape_whitespaces off),"
            " which is not supported; tune this model with NeMo"
        )
    if proto.trainer_spec.treat_whitespace_as_suffix:
        raise InputError(f"{where}: treats spaces as suffixes, which is not supported; tune this model with NeMo")
    return proto


def _model(proto: Any) -> BPE | Unigram:
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    unknown = next(number for number, piece in enumerate(proto.pieces) if piece.type == _UNKNOWN)
    if proto.trainer_spec.model_type == _UNIGRAM:
        return Unigram(pieces, unk_id=unknown, byte_fallback=False)
    vocabulary = {piece: number for number, (piece, _) in enumerate(pieces)}
    atoms = {piece.piece for piece in proto.pieces if piece.type != NORMAL}
    return BPE(
        vocabulary,
        generate_merges(vocabulary, pieces, skip_tokens=atoms),
        unk_token=pieces[unknown][0],
        fuse_unk=True,
        # a symbol that stands alone is not merged from its letters
        ignore_merges=True,
    )


def _normalizers(spec: Any) -> list[Any]:
    steps: list[Any] = [normalizers.Precompiled(spec.precompiled_charsmap)] if spec.precompiled_charsmap else []
    return [
        *steps,
        normalizers.Replace(Regex(rf"\A +|[ {SPACE}]+\z"), ""),
        normalizers.Replace(Regex(" +"), SPACE),
        normalizers.Prepend(SPACE),
    ]
