"""SentencePiece models as pipelines of the library tokenizers, which transformers runs from a saved folder.

Decoding equals sentencepiece's except for bytes that are not valid text. Encoding equals it on ordinary text; it may
differ on combining marks after compatibility characters (an accent on a superscript) and on the letters `<unk>`, where
the normaliser of the library tokenizers is coarser.
"""

from __future__ import annotations

import re
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE, Unigram
from transformers.convert_slow_tokenizer import generate_merges

SPACE = "▁"
UNKNOWN_TEXT = " ⁇ "
# values of the enums in sentencepiece_model.proto
UNIGRAM_MODEL, BPE_MODEL = 1, 2
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def pipeline(proto: Any) -> Tokenizer:
    """Return the pipeline for a model of sentencepiece_model.proto."""
    tokenizer = Tokenizer(_model(proto))
    tokenizer.normalizer = normalizers.Sequence(_normalizers(proto.normalizer_spec))
    whole = [piece.piece for piece in proto.pieces if piece.type == USER_DEFINED]
    if whole:
        longest_first = "|".join(re.escape(symbol) for symbol in sorted(whole, key=len, reverse=True))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(longest_first), "isolated")
    tokenizer.decoder = decoders.Sequence(_decoders(proto))
    return tokenizer


def _model(proto: Any) -> BPE | Unigram:
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    unknown = next(number for number, piece in enumerate(proto.pieces) if piece.type == UNKNOWN)
    byte_fallback = any(piece.type == BYTE for piece in proto.pieces)
    if proto.trainer_spec.model_type == UNIGRAM_MODEL:
        return Unigram(pieces, unk_id=unknown, byte_fallback=byte_fallback)
    vocabulary = {piece: number for number, (piece, _) in enumerate(pieces)}
    atoms = {piece.piece for piece in proto.pieces if piece.type != NORMAL}
    return BPE(
        vocabulary,
        generate_merges(vocabulary, pieces, skip_tokens=atoms),
        unk_token=pieces[unknown][0],
        fuse_unk=True,
        byte_fallback=byte_fallback,
        # a word that is a token needs no merges, so that symbols match as a whole
        ignore_merges=True,
    )


def _normalizers(spec: Any) -> list[Any]:
    steps: list[Any] = []
    if spec.precompiled_charsmap:
        # Precompiled handles a letter with one combining mark only; NFC composes letters with several
        steps += [normalizers.NFC(), normalizers.Precompiled(spec.precompiled_charsmap)]
    if spec.remove_extra_whitespaces:
        steps += [
            normalizers.Replace(Regex(rf"\A +|[ {SPACE}]+\z"), ""),
            normalizers.Replace(Regex(" +"), SPACE),
        ]
    else:
        steps.append(normalizers.Replace(" ", SPACE))
    return [*steps, normalizers.Prepend(SPACE)] if spec.add_dummy_prefix else steps


def _decoders(proto: Any) -> list[Any]:
    spec = proto.normalizer_spec
    unknown = next(piece.piece for piece in proto.pieces if piece.type == UNKNOWN)
    silent = "|".join(re.escape(piece.piece) for piece in proto.pieces if piece.type == CONTROL)
    leading = rf"\A{SPACE}+" if spec.remove_extra_whitespaces else rf"\A{SPACE}"
    return [
        decoders.Replace(unknown, UNKNOWN_TEXT),
        *([decoders.Replace(Regex(rf"\A({silent})\z"), "")] if silent else []),
        decoders.ByteFallback(),
        decoders.Fuse(),
        *([decoders.Replace(Regex(leading), "")] if spec.add_dummy_prefix or spec.remove_extra_whitespaces else []),
        decoders.Replace(SPACE, " "),
    ]
