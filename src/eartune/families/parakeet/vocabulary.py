"""Extension of a Parakeet's vocabulary: new tokens between the old ones and the blank, in network and tokenizer.

V tokens with the blank, N new ones, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from transformers import ParakeetForCTC

from eartune.errors import InputError
from eartune.families._nemo.more_tokens import add_to_tokenizer, lacking_characters
from eartune.families._nemo.spec import NemoSpec
from eartune.families.parakeet.model import ParakeetModel
from eartune.families.parakeet.network import WITH_TOKENS, set_blank
from eartune.manifest import Utterance
from eartune.model import Network, SpeechModel


def lacking(model: SpeechModel, utterances: Sequence[Utterance]) -> str:
    """Return the characters of training texts without a token, the most frequent first."""
    assert isinstance(model, ParakeetModel)
    return "".join(lacking_characters(model.tokenizer, (utterance.text for utterance in utterances)))


def extend(model: SpeechModel, characters: str) -> None:
    """Add a token for each character to a model, in place. Logits of the old tokens are unchanged, to the bit.

    New rows are deterministic, so that an adapter can be applied to the base model again.
    Raises InputError if a character has a token already, or network and tokenizer do not belong together.
    """
    assert isinstance(model, ParakeetModel)
    old = _blank_of(model.network)
    model.tokenizer = add_to_tokenizer(model.tokenizer, characters, first=old)
    model.labeler = replace(model.labeler, tokenizer=model.tokenizer)
    extend_network(model.network, len(characters))
    model.blocks = replace(model.blocks, extended=_extended_modules(model.network))


def added_since(model: ParakeetModel, spec: NemoSpec) -> str:
    """Return the characters whose tokens were added to a model since it was loaded from the archive of `spec`.

    Raises InputError if its other tokens are not those of the archive.
    """
    before, blank = spec.tokenizer.pieces, _blank_of(model.network)
    if len(before) == blank:
        return ""
    now = {piece: number for piece, number in model.tokenizer.get_vocab().items() if number < blank}
    added = sorted((number, piece) for piece, number in now.items() if number >= len(before))
    if before.items() <= now.items() and all(len(piece) == 1 for _, piece in added):
        return "".join(piece for _, piece in added)
    raise InputError(
        f"{spec.path}: has other tokens than this model, which was not trained from this archive; give another one"
    )


def _blank_of(network: Network) -> int:
    config = network.config
    blank = config.pad_token_id if isinstance(network, ParakeetForCTC) else config.blank_token_id
    if blank != config.vocab_size - 1:
        raise InputError(
            f"extend_vocabulary: the blank is token {blank} of {config.vocab_size}, and only a blank that is the last "
            "token can be moved: remove it"
        )
    return int(blank)


def _extended_modules(network: Network) -> tuple[str, ...]:
    existing = {name for name, _ in network.named_modules()}
    return tuple(name for name in WITH_TOKENS if name in existing)


def extend_network(network: Network, num_more: int) -> None:
    """Insert rows before the blank's in each module with a row per token."""
    blank, generator = _blank_of(network), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name in _extended_modules(network):
            _insert_rows(network.get_submodule(name), blank, num_more, generator)
    set_blank(network, blank + num_more)


def _insert_rows(module: Any, at: int, num_more: int, generator: torch.Generator) -> None:
    module.weight = _inserted(module.weight, at, _new_weight(module, num_more, generator))
    if getattr(module, "bias", None) is not None:
        # with a much lower bias a new token hardly occurs in any path and is trained slowly: figures in docs/methods.md
        module.bias = _inserted(module.bias, at, module.bias[:at].mean().expand(num_more))
    for size in ("num_embeddings", "out_features", "out_channels"):
        if hasattr(module, size):
            setattr(module, size, getattr(module, size) + num_more)


def _new_weight(module: nn.Module, num_more: int, generator: torch.Generator) -> torch.Tensor:
    """Return rows initialised as in NeMo: normal (embedding), Kaiming uniform (linear) or Xavier uniform (CTC head)."""
    old: Any = module.weight
    if isinstance(module, nn.Embedding):
        return nn.init.normal_(old.new_empty(num_more, *old.shape[1:]), generator=generator)
    if isinstance(module, nn.Conv1d):
        # the scale of Xavier's initialisation depends on the number of all rows
        return nn.init.xavier_uniform_(old.new_empty(len(old) + num_more, *old.shape[1:]), generator=generator)[
            :num_more
        ]
    return nn.init.kaiming_uniform_(old.new_empty(num_more, *old.shape[1:]), a=5**0.5, generator=generator)


def _inserted(old: nn.Parameter, at: int, new: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(torch.cat([old[:at], new, old[at:]]), requires_grad=old.requires_grad)
