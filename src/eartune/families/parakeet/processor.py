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
    blank = network.config.pad_token_id if is_ctc else network.config.blank_token_id
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
