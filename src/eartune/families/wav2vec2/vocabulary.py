"""Extension of a vocabulary: tokens for more characters, and their rows in the output head.

V tokens with the blank, N new ones, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from eartune.errors import InputError
from eartune.families.wav2vec2.model import Wav2Vec2Model
from eartune.families.wav2vec2.network import ctc_of
from eartune.families.wav2vec2.tokenizer import build_tokenizer
from eartune.manifest import Utterance
from eartune.model import Network, SpeechModel


def lacking(model: SpeechModel, utterances: Sequence[Utterance]) -> str:
    """Return the letters and numbers of training texts that have no token, the most frequent first."""
    assert isinstance(model, Wav2Vec2Model)
    return model.labeler.lacking([utterance.text for utterance in utterances])


def extend(model: SpeechModel, characters: str) -> None:
    """Add a token for each character to a model, in place. The logits of the old tokens are unchanged.

    New rows are deterministic, so that an adapter can be applied to the base model again.
    Raises InputError if a character has a token already.
    """
    assert isinstance(model, Wav2Vec2Model)
    vocabulary = model.tokenizer.get_vocab()
    twice = [character for character in characters if character in vocabulary]
    if twice:
        raise InputError(f"new_vocabulary: {twice[0]!r} already has a token")
    more = {character: len(vocabulary) + number for number, character in enumerate(characters)}
    model.replace_tokenizer(build_tokenizer({**vocabulary, **more}, model.special, where=Path("vocab.json")))
    extend_head(model.network, len(characters))


def new_head(network: Network) -> None:
    """Initialise the output head, always with the same values."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        network.lm_head.weight.normal_(0.0, network.config.initializer_range, generator=generator)
        network.lm_head.bias.zero_()


def extend_head(network: Network, num_more: int) -> None:
    """Append N rows to the output head [V, D]."""
    ctc = ctc_of(network)
    old: nn.Linear = ctc.lm_head
    generator = torch.Generator().manual_seed(old.out_features)
    head = nn.Linear(old.in_features, old.out_features + num_more)
    with torch.no_grad():
        head.weight[: old.out_features] = old.weight
        head.weight[old.out_features :].normal_(0.0, ctc.config.initializer_range, generator=generator)
        head.bias[: old.out_features] = old.bias
        # much lower than that of the others, a new token would hardly be in any path
        head.bias[old.out_features :] = old.bias.mean()
    ctc.lm_head = head
    ctc.config.vocab_size = head.out_features
