"""New tokens and their rows in the output head."""

from pathlib import Path

import pytest
import torch

from eartune.errors import InputError
from eartune.families.wav2vec2.model import Wav2Vec2Model
from eartune.families.wav2vec2.vocabulary import extend, lacking
from eartune.manifest import Utterance
from tests.families.wav2vec2.conftest import load


def logits(model: Wav2Vec2Model) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.network(**model.probe_inputs()).logits
    return found


@pytest.mark.parametrize("kind", ["layer", "bert", "hubert", "mms"])
def test_old_tokens_keep_their_logits(tiny_wav2vec2: dict[str, Path], kind: str) -> None:
    model = load(tiny_wav2vec2[kind], language="en")
    before, vocabulary = logits(model), model.tokenizer.get_vocab()
    extend(model, "äб5")
    after = logits(model)
    assert torch.equal(after[..., : before.shape[-1]], before)
    assert model.tokenizer.get_vocab() == vocabulary | {"ä": 32, "б": 33, "5": 34}
    assert model.labeler.findings([Utterance(Path("x.wav"), "ä Б5", 1.0)]) == [None]
    assert model.blocks.extended == ("lm_head",)
    again = load(tiny_wav2vec2[kind], language="en")
    extend(again, "äб5")
    assert torch.equal(logits(again), after)


def test_a_character_gets_one_token_only(tiny_wav2vec2: dict[str, Path]) -> None:
    model = load(tiny_wav2vec2["layer"])
    with pytest.raises(InputError, match="'a' already has a token"):
        extend(model, "äa")


def test_what_is_lacking_is_listed_by_frequency(tiny_wav2vec2: dict[str, Path]) -> None:
    rows = [Utterance(Path("x.wav"), text, 1.0) for text in ("Ärger 22", "äöä 2!")]
    assert lacking(load(tiny_wav2vec2["layer"]), rows) == "ä2ö"
    new = load(tiny_wav2vec2["pretrained"], new_vocabulary=True)
    assert lacking(new, rows) == "ä2rgeö"
