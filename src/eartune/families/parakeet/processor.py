"""Parakeet's transformers processor, with the blank and the decoder type."""

from __future__ import annotations

from tokenizers import AddedToken, Tokenizer
from transformers import (
    Nemotron3_5AsrProcessor,
    NemotronAsrStreamingProcessor,
    ParakeetFeatureExtractor,
    ParakeetForCTC,
    ParakeetForTDT,
    ParakeetProcessor,
    ParakeetTokenizer,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)

from eartune.errors import InputError
from eartune.families.parakeet.streaming import lookaheads_of
from eartune.model import Network

BLANK = "<blank>"


def build_processor(
    network: Network, tokenizer: PreTrainedTokenizerBase, extractor: ParakeetFeatureExtractor
) -> ProcessorMixin:
    """Return the processor of a network. Raises InputError if the tokenizer is another model's."""
    is_ctc = isinstance(network, ParakeetForCTC)
    decoder_type = "ctc" if is_ctc else "tdt" if isinstance(network, ParakeetForTDT) else "rnnt"
    blank = _blank_of(network)
    if not isinstance(tokenizer, ParakeetTokenizer):
        tokenizer = _with_blank(tokenizer, blank)
    blank_token = tokenizer.convert_ids_to_tokens(blank)
    lookaheads = lookaheads_of(network)
    if not lookaheads:
        return ParakeetProcessor(extractor, tokenizer, blank_token=blank_token, decoder_type=decoder_type)
    settings = {"blank_token": blank_token, "supported_num_lookahead_tokens": lookaheads}
    prompts = getattr(network.config, "prompt_dictionary", None)
    if prompts is None:
        return NemotronAsrStreamingProcessor(extractor, tokenizer, **settings)
    return Nemotron3_5AsrProcessor(
        extractor, tokenizer, **settings, prompt_dictionary=prompts, num_prompts=network.config.num_prompts
    )


def require_blank(network: Network, tokenizer: PreTrainedTokenizerBase, *, where: str) -> None:
    """Raise InputError, which begins with `where`, if a folder's tokenizer has no token for the network's blank."""
    blank = _blank_of(network)
    if isinstance(tokenizer, ParakeetTokenizer) and tokenizer.convert_ids_to_tokens(blank) is None:
        raise InputError(f"{where}: has no token {blank}, which is the network's blank; copy the whole model folder")


def _blank_of(network: Network) -> int:
    config = network.config
    return int(config.pad_token_id if isinstance(network, ParakeetForCTC) else config.blank_token_id)


def _with_blank(tokenizer: PreTrainedTokenizerBase, blank: int) -> ParakeetTokenizer:
    """Return a copy that merges CTC's repeats and skips the blank, which follows all other tokens."""
    found = ParakeetTokenizer(
        tokenizer_object=Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()),
        unk_token=tokenizer.unk_token,
        pad_token=AddedToken(BLANK, normalized=False, special=True),
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
    )
    if found.pad_token_id != blank:
        raise InputError(
            f"the tokenizer has {len(tokenizer)} tokens, and the network's blank is token {blank}: they do not belong "
            "together; load both from one model"
        )
    return found
