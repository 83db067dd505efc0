"""Canary's archives, judged by NeMo: features, encoder, logits, and the way back into NeMo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from eartune.families._nemo.archive import read_archive
from eartune.families._nemo.features import LogMel, feature_settings
from eartune.families._nemo.write_archive import write_archive
from eartune.families.canary.configuration import read_spec
from eartune.families.canary.weights import from_nemo, to_nemo

nemo_asr = pytest.importorskip("nemo.collections.asr", reason="NeMo is not installed here: make test-nemo")
from tests.nemo.judge.compare import changed, compare_encoder, compare_rows  # noqa: E402  they need NeMo
from tests.nemo.judge.models import build  # noqa: E402

pytestmark = pytest.mark.nemo

DECODER = "transf_decoder__config_dict"
VARIANTS: list[dict[str, Any]] = [
    {},
    {f"{DECODER}__num_layers": 3, f"{DECODER}__inner_size": 48, f"{DECODER}__max_sequence_length": 40},
    {f"{DECODER}__num_token_types": 2, f"{DECODER}__num_attention_heads": 2, "encoder__xscaling": True},
    {"encoder__use_bias": False, "encoder__feat_in": 128, "preprocessor__features": 128},
    {"spm": {"vocab_size": 171, "model_type": "unigram"}},
]


@pytest.fixture(params=["given", *range(len(VARIANTS))])
def model_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "given":
        shared: Path = request.getfixturevalue("shared_dir")
        return shared / "models" / "nemo-tiny" / "canary.nemo"
    return build("canary", tmp_path / "built", **VARIANTS[request.param])


@torch.no_grad()
def test_features_encoder_and_logits_are_those_of_nemo(model_file: Path) -> None:
    archive = read_archive(model_file)
    compare(restore(model_file), from_nemo(read_spec(archive)), LogMel(feature_settings(archive)))


@torch.no_grad()
def test_weights_that_were_changed_come_back_in_nemo(model_file: Path, tmp_path: Path) -> None:
    archive = read_archive(model_file)
    ours = changed(from_nemo(read_spec(archive)))
    out = tmp_path / "tuned.nemo"
    weights = to_nemo(ours.state_dict(), read_spec(archive))
    write_archive(archive, out, weights)
    theirs = restore(out)
    found = theirs.state_dict()
    assert list(found) == list(weights)
    for name, value in found.items():
        assert torch.equal(value, weights[name]), name
    compare(theirs, ours, LogMel(feature_settings(archive)))


def test_an_unchanged_network_gives_the_archive_it_came_from(model_file: Path) -> None:
    archive = read_archive(model_file)
    original, written = archive.weights(), to_nemo(from_nemo(read_spec(archive)).state_dict(), read_spec(archive))
    assert list(original) == list(written)
    for name, value in original.items():
        assert torch.equal(value, written[name]), name


def test_tokens_of_decoding_are_those_of_nemo(model_file: Path) -> None:
    config, theirs = from_nemo(read_spec(read_archive(model_file))).config, restore(model_file).tokenizer
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (
        theirs.pad_id, theirs.bos_id, theirs.eos_id
    )  # fmt: skip


def restore(path: Path) -> Any:
    return nemo_asr.models.EncDecMultiTaskModel.restore_from(str(path), map_location="cpu", strict=True).eval()


def compare(theirs: Any, ours: Any, log_mel: LogMel) -> None:
    features_BTM, mask_BT, *_ = compare_encoder(theirs, ours.model.encoder, log_mel)
    generator = torch.Generator().manual_seed(4)
    transcripts_BU = torch.randint(5, ours.config.vocab_size, (4, 12), generator=generator)
    num_tokens_B = torch.tensor([12, 7, 9, 3])
    token_mask_BU = torch.arange(12) < num_tokens_B[:, None]
    transcripts_BU[~token_mask_BU] = ours.config.pad_token_id
    their_logits_BUV, *_ = theirs(
        processed_signal=features_BTM.transpose(1, 2), processed_signal_length=mask_BT.sum(-1),
        transcript=transcripts_BU, transcript_length=num_tokens_B,
    )  # fmt: skip
    logits_BUV = ours(
        features_BTM, attention_mask=mask_BT, decoder_input_ids=transcripts_BU, decoder_attention_mask=token_mask_BU
    ).logits.log_softmax(-1)
    compare_rows(logits_BUV, their_logits_BUV, num_tokens_B)
