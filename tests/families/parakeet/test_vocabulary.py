"""Networks with rows for more tokens: what was there stays, and the loss of old texts grows by what new tokens take.

B batch, T frames, U tokens, V tokens with the blank, N new ones.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers.models.parakeet.tokenization_parakeet import ParakeetTokenizer

from eartune.errors import InputError
from eartune.families._nemo.archive import read_archive
from eartune.families._nemo.tokenizer import MODEL_FILE
from eartune.families.canary.configuration import read_spec as read_canary_spec
from eartune.families.parakeet.configuration import read_spec
from eartune.families.parakeet.greedy import text_of
from eartune.families.parakeet.load import load
from eartune.families.parakeet.model import ParakeetModel
from eartune.families.parakeet.vocabulary import added_since, extend, lacking
from eartune.families.registry import family
from eartune.manifest import Utterance, read_manifest
from eartune.model import PlacedUtterance
from eartune.training.batching.batches import SpeechDataset
from eartune.training.batching.plan import MicroBatch
from eartune.training.batching.windows import Window
from eartune.training.loss import encoder_inputs, target_inputs
from tests.families.parakeet.test_weights import KINDS

NEW = "жщэ"
CPU = torch.device("cpu")
EXTENDED = {
    "ctc": ("ctc_head",),
    "rnnt": ("decoder.embedding", "joint.head"),
    "tdt": ("decoder.embedding", "joint.head"),
    "hybrid": ("decoder.embedding", "joint.head", "aux_ctc_head"),
}


def open_tiny(path: Path, added: str = "") -> ParakeetModel:
    model = load(family("parakeet").find(str(path)))
    if added:
        extend(model, added)
    model.network.eval()
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_old_rows_stay_new_ones_lie_before_the_blank_and_durations_come_last(
    tiny_nemo: dict[str, Path], kind: str
) -> None:
    before, after = open_tiny(tiny_nemo[kind]), open_tiny(tiny_nemo[kind], NEW)
    again = open_tiny(tiny_nemo[kind], NEW).network.state_dict()
    assert after.blocks.extended == EXTENDED[kind]
    blank = before.network.config.vocab_size - 1
    old, new = before.network.state_dict(), after.network.state_dict()
    assert list(old) == list(new)
    for name, value in old.items():
        kept = new[name]
        if name.rpartition(".")[0] in EXTENDED[kind]:
            assert len(kept) == len(value) + len(NEW)
            assert len(kept[blank : blank + len(NEW)].unique(dim=0)) == (1 if name.endswith("bias") else len(NEW))
            kept = torch.cat([kept[:blank], kept[blank + len(NEW) :]])
        assert torch.equal(kept, value), name
        assert torch.equal(again[name], new[name]), "an adapter finds the base that it was trained on"
    for name in EXTENDED[kind]:
        module = after.network.get_submodule(name)
        rows = {"embedding": "num_embeddings", "head": "out_features"}.get(name.rpartition(".")[2], "out_channels")
        assert getattr(module, rows) == len(module.weight)


@pytest.mark.parametrize("kind", KINDS)
def test_configuration_and_tokenizer_speak_of_the_new_blank(tiny_nemo: dict[str, Path], kind: str) -> None:
    model = open_tiny(tiny_nemo[kind], NEW)
    network, blank = model.network, open_tiny(tiny_nemo[kind]).network.config.vocab_size - 1 + len(NEW)
    assert (network.config.vocab_size, network.config.pad_token_id) == (blank + 1, blank)
    assert network.generation_config.pad_token_id == blank
    if kind != "ctc":
        assert network.config.blank_token_id == network.decoder.blank_token_id == blank
        assert network.decoder.embedding.padding_idx == network.generation_config.bos_token_id == blank
        assert not network.decoder.embedding.weight[blank].any()
        durations = list(range(blank + 1, blank + 6)) if kind != "rnnt" else None
        assert network.generation_config.suppress_tokens == durations
    assert model.labeler.tokens(["жэ"])[0][-2:] == [blank - 3, blank - 1]
    assert model.findings([Utterance(Path("x.wav"), "щэж", 2.0)]) == [None]


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_the_loss_of_old_texts_grows_by_no_more_than_new_tokens_take(
    tiny_nemo: dict[str, Path], tiny_speech: Path, kind: str
) -> None:
    """In each node of a path, each old token's probability falls by the factor 1 - m, if new tokens take m there."""
    utterances = read_manifest([tiny_speech]).utterances[:3]
    before, after = open_tiny(tiny_nemo[kind]), open_tiny(tiny_nemo[kind], NEW)
    window = tuple(
        Window((PlacedUtterance(row, 0.0, u.duration_s),), u.duration_s, 3.2) for row, u in enumerate(utterances)
    )
    batch = SpeechDataset(utterances, before)[MicroBatch(window, 3.2)]
    assert torch.equal(batch.labels, SpeechDataset(utterances, after)[MicroBatch(window, 3.2)].labels)
    inputs = encoder_inputs(batch, before, CPU)
    old, new = (float(s.summed_loss([inputs | target_inputs(batch, CPU)])) for s in (before, after))
    network, blank = after.network, after.network.config.vocab_size - 1
    encoded = network.encoder(**inputs)
    frames_B = encoded.attention_mask.sum(dim=1)
    lost_BT = None
    if kind in ("ctc", "hybrid"):
        head = network.ctc_head if kind == "ctc" else network.aux_ctc_head
        lost_BT = -torch.log1p(-head(encoded.last_hidden_state).softmax(-1)[..., blank - len(NEW) : blank].sum(-1))
    if kind == "ctc":
        # every path has as many factors as frames, the same for all of them
        assert lost_BT is not None
        expected = sum(float(row[:frames].sum()) for row, frames in zip(lost_BT, frames_B, strict=True))
        assert new - old == pytest.approx(expected, rel=1e-3)
        assert expected > 0
        return
    labels_BU = nn.functional.pad(target_inputs(batch, CPU)["decoder_input_ids"], (1, 0), value=blank)
    predicted_BUH, states_BTH = network.decoder(labels_BU), network.encoder_projector(encoded.last_hidden_state)
    logits = network.joint(decoder_hidden_states=predicted_BUH[:, None], encoder_hidden_states=states_BTH[:, :, None])[
        ..., : blank + 1
    ]
    most = (-torch.log1p(-logits.softmax(-1)[..., blank - len(NEW) : blank].sum(-1))).max()
    # a path leaves no more nodes than there are frames and tokens
    bound = float(most) * float((frames_B + target_inputs(batch, CPU)["target_lengths"]).sum())
    if kind == "hybrid":
        assert lost_BT is not None
        weight = network.config.aux_ctc_loss_weight
        bound = (1 - weight) * bound + weight * float(lost_BT.sum())
    assert 0 < new - old <= bound


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_saved_model_answers_the_same_and_is_extended_again(
    tiny_nemo: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    model = open_tiny(tiny_nemo[kind], NEW)
    model.save(tmp_path)
    again = open_tiny(tmp_path)
    inputs = model.probe_inputs()
    assert torch.equal(again.network(**inputs).logits, model.network(**inputs).logits)
    assert again.network.generation_config.suppress_tokens == model.network.generation_config.suppress_tokens
    assert again.labeler.tokens(["the щжэ"]) == model.labeler.tokens(["the щжэ"])
    extend(again, "ю")
    assert added_since(again, read_spec(read_archive(tiny_nemo[kind]))) == NEW + "ю"


def test_what_texts_lack_comes_with_the_most_frequent_first(tiny_nemo: dict[str, Path]) -> None:
    speech = open_tiny(tiny_nemo["ctc"])
    texts = ["щэ the", "щ\tщ ж", "Ж pump"]
    assert lacking(speech, [Utterance(Path("x.wav"), text, 1.0) for text in texts]) == "щЖжэ"


def test_models_that_do_not_fit_are_refused(tiny_nemo: dict[str, Path]) -> None:
    model = open_tiny(tiny_nemo["ctc"])
    with pytest.raises(InputError, match="'t' already has a token"):
        extend(model, "жt")
    assert added_since(model, read_spec(read_archive(tiny_nemo["ctc"]))) == ""
    other = read_canary_spec(read_archive(tiny_nemo["canary"]))
    with pytest.raises(InputError, match=r"canary\.nemo: has other tokens than this model"):
        added_since(open_tiny(tiny_nemo["ctc"], NEW), other)
    model.network.config.pad_token_id = 3
    with pytest.raises(InputError, match="the blank is token 3 of"):
        extend(model, "ж")


def test_letters_that_are_doubled_are_written_twice_by_the_hubs_tokenizers_too(
    tiny_nemo: dict[str, Path], tmp_path: Path
) -> None:
    """The class of the hub's folders joins equal tokens by itself, as for the frames of a CTC."""
    open_tiny(tiny_nemo["tdt"], NEW).save(tmp_path)
    (tmp_path / MODEL_FILE).unlink()
    path = tmp_path / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(settings | {"tokenizer_class": "ParakeetTokenizer"}), encoding="utf-8")
    model = open_tiny(tmp_path)
    assert isinstance(model.tokenizer, ParakeetTokenizer)
    for tokenizer in (model.tokenizer, open_tiny(tiny_nemo["tdt"], NEW).tokenizer):
        assert text_of(tokenizer, model.labeler.tokens(["жжащий"])[0]) == "жжащий"
    extend(model, "ю")
    assert text_of(model.tokenizer, model.labeler.tokens(["южжю"])[0]) == "южжю"
