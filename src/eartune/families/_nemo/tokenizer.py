"""SentencePiece models as transformers tokenizers, with the tokens and texts of the library sentencepiece.

Format: sentencepiece_model.proto of google/sentencepiece. In a saved folder a pipeline of the library tokenizers stands
for it. The pipeline decodes as sentencepiece except for bytes that are not valid text, and encodes ordinary text as it;
it may differ on combining marks after compatibility characters (an accent on a superscript) and on the letters `<unk>`,
where the normaliser of the library tokenizers is coarser.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
from google.protobuf.message import DecodeError
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE, Unigram
from transformers import AutoTokenizer, BatchEncoding, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import generate_merges, import_protobuf

from eartune.errors import InputError, explained, first_line
from eartune.families._nemo.archive import NemoArchive
from eartune.families._nemo.archive_members import MAX_FILE_BYTES
from eartune.model_folder import require_tokenizer_files

# the name that transformers gives to the SentencePiece model in a folder
MODEL_FILE = "tokenizer.model"
SPACE = "▁"
UNKNOWN_TEXT = " ⁇ "
# values of the enums in sentencepiece_model.proto
UNIGRAM_MODEL, BPE_MODEL = 1, 2
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


class SentencePieceTokenizer(PreTrainedTokenizerFast):  # type: ignore[misc]
    """A tokenizer that is sentencepiece; `backend_tokenizer` is the pipeline that stands for it in a saved folder.

    Special tokens in a text are text to it.
    """

    model: bytes
    processor: sentencepiece.SentencePieceProcessor
    # what is left out of a text where that is asked for
    special: frozenset[int]

    def _encode_plus(self, text: str | Sequence[str], **_: Any) -> BatchEncoding:
        texts = [text] if isinstance(text, str) else list(text)
        found = self.processor.encode(texts)
        return BatchEncoding({"input_ids": found[0] if isinstance(text, str) else found})

    def _decode(self, token_ids: int | Iterable[int], skip_special_tokens: bool = False, **_: Any) -> str:
        tokens = [token_ids] if isinstance(token_ids, int) else [int(token) for token in token_ids]
        left_out = self.special if skip_special_tokens else ()
        # a network may have more rows than there are pieces
        known = range(self.processor.get_piece_size())
        text: str = self.processor.decode([token for token in tokens if token in known and token not in left_out])
        return text


@dataclass(frozen=True)
class TokenizerFiles:
    """Members that make up an archive's tokenizer; None where the configuration names none that is there."""

    model: str | None
    """SentencePiece's model"""
    vocabulary: str | None
    """a text file with a piece in each line"""
    scores: str | None
    """a text file with a piece and its score in each line"""


@dataclass(frozen=True)
class NemoTokenizer:
    """An archive's tokenizer: its SentencePiece model, the pieces of it with their ids, and its files."""

    model: bytes
    pieces: Mapping[str, int]
    files: TokenizerFiles


def read_tokenizer(archive: NemoArchive) -> NemoTokenizer:
    """Read an archive's tokenizer. Raises InputError for archives with several (`agg`) or another kind."""
    settings = archive.section("tokenizer")
    settings.require("type", None, "bpe")
    model = archive.file(str(settings.get("model_path", "tokenizer.model")))
    return NemoTokenizer(model, piece_ids(model, where=f"{archive.path}: tokenizer"), tokenizer_files(archive))


def tokenizer_files(archive: NemoArchive) -> TokenizerFiles:
    """Return the members that the section `tokenizer` of an archive names."""
    settings = archive.section("tokenizer")

    def member(key: str) -> str | None:
        reference = settings.get(key, None)
        name = reference.removeprefix("nemo:").removeprefix("./") if isinstance(reference, str) else None
        return name if name in archive.members else None

    return TokenizerFiles(member("model_path"), member("vocab_path"), member("spe_tokenizer_vocab"))


def build_tokenizer(model: bytes, *, where: str, **special_tokens: str) -> SentencePieceTokenizer:
    """Return a tokenizer for the bytes of a tokenizer.model; `special_tokens` are such as eos_token="<|endoftext|>".

    Raises InputError, beginning with `where`, for bytes that are not such a model and for kinds of models that NeMo's
    recipes do not produce.
    """
    proto = parse_model(model, where)
    tokenizer = SentencePieceTokenizer(
        tokenizer_object=pipeline(proto),
        unk_token=next(piece.piece for piece in proto.pieces if piece.type == UNKNOWN),
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
        **special_tokens,
    )
    tokenizer.model, tokenizer.processor = model, _processor(model, where)
    tokenizer.special = frozenset(tokenizer.all_special_ids)
    return tokenizer


def folder_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a Hugging Face folder: sentencepiece itself where the folder has its tokenizer.model."""
    advice = "copy the whole model folder"
    require_tokenizer_files(folder, advice=advice)
    with explained(folder, "its tokenizer cannot be read from tokenizer.json and tokenizer_config.json", advice=advice):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    file = folder / MODEL_FILE
    if not file.is_file() or file.stat().st_size > MAX_FILE_BYTES:
        return _composing(tokenizer)
    found = build_tokenizer(file.read_bytes(), where=str(file))
    if not found.get_vocab().items() <= tokenizer.get_vocab().items():
        # tokenizer.json was changed since, so it takes precedence
        return _composing(tokenizer)
    found.special |= {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return found


def _composing(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Compose letters with their combining marks, as sentencepiece does: Precompiled handles only one mark."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    if "Precompiled" in repr(normalizer) and "NFC()" not in repr(normalizer):
        tokenizer.backend_tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizer])
    return tokenizer


def normalise(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """Return a text as normalised by the tokenizer before tokenization."""
    if isinstance(tokenizer, SentencePieceTokenizer):
        return str(tokenizer.processor.normalize(text))
    normalizer = tokenizer.backend_tokenizer.normalizer
    return text if normalizer is None else str(normalizer.normalize_str(text))


def piece_ids(model: bytes, *, where: str) -> dict[str, int]:
    """Return the piece -> id table of a tokenizer.model."""
    return {piece.piece: number for number, piece in enumerate(parse_model(model, where).pieces)}


def parse_model(model: bytes, where: str) -> Any:
    """Parse the bytes of a tokenizer.model (sentencepiece_model.proto).

    Raises InputError, beginning with `where`, for anything else and for models that NeMo's recipes do not produce.
    """
    proto = import_protobuf().ModelProto()
    try:
        proto.ParseFromString(model)
    except DecodeError:
        raise InputError(f"{where}: is not a SentencePiece model, or a damaged one; save the model again") from None
    kinds = {piece.type: piece.piece for piece in proto.pieces}
    if proto.trainer_spec.model_type not in (UNIGRAM_MODEL, BPE_MODEL) or UNKNOWN not in kinds:
        raise InputError(f"{where}: is not a SentencePiece model of the types unigram and bpe; tune it with NeMo")
    if UNUSED in kinds:
        raise InputError(f"{where}: has unused pieces ({kinds[UNUSED]!r}), which is not supported; tune it with NeMo")
    if not proto.normalizer_spec.escape_whitespaces:
        raise InputError(
            f"{where}: escape_whitespaces is off, so spaces are not {SPACE}, which is not supported; tune it with NeMo"
        )
    if proto.trainer_spec.treat_whitespace_as_suffix:
        raise InputError(f"{where}: treats spaces as suffixes, which is not supported; tune this model with NeMo")
    if proto.denormalizer_spec.precompiled_charsmap:
        raise InputError(
            f"{where}: rewrites decoded text (denormalizer_spec), which is not supported; tune it with NeMo"
        )
    return proto


def _processor(model: bytes, where: str) -> sentencepiece.SentencePieceProcessor:
    try:
        return sentencepiece.SentencePieceProcessor(model_proto=model)
    except RuntimeError as error:
        raise InputError(f"{where}: sentencepiece cannot read it ({first_line(error)[:120]}); save it again") from None


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
