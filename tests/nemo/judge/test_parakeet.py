"""Parakeet's archives, judged by NeMo: features, encoder, logits, and the way back into NeMo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from eartune.families._nemo.archive import read_archive
from eartune.families._nemo.features import LogMel, feature_settings
from eartune.families._nemo.write_archive import write_archive
from eartune.families.parakeet.configuration import read_spec
from eartune.families.parakeet.weights import from_nemo, to_nemo

nemo_asr = pytest.importorskip("nemo.collections.asr", reason="NeMo is not installed here: make test-nemo")
from tests.nemo.judge.compare import changed, compare_encoder, compare_rows  # noqa: E402  they need NeMo
from tests.nemo.judge.models import STREAMING, build  # noqa: E402

pytestmark = pytest.mark.nemo

GIVEN = ["parakeet-ctc", "parakeet-rnnt", "parakeet-tdt", "parakeet-hybrid"]
# as parakeet-unified-en-0.6b is saved
UNIFIED = {
    "encoder__att_context_style": "chunked_limited_with_rc", "encoder__att_chunk_context_size": [[70], [1, 2], [0, 1]],
    "encoder__conv_context_style": "dcc", "encoder__xscaling": True,
}  # fmt: skip
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("ctc", {}),
    ("ctc", {"encoder__use_bias": False, "encoder__xscaling": True}),
    ("ctc", {"encoder__feat_in": 128, "preprocessor__features": 128, "encoder__conv_kernel_size": 31}),
    ("ctc", {"encoder__subsampling_factor": 4, "encoder__subsampling_conv_channels": -1, "encoder__n_heads": 2}),
    ("ctc", {"preprocessor__pad_to": 16, "preprocessor__pad_value": 3.0, "encoder__ff_expansion_factor": 2}),
    ("ctc", {"preprocessor__window_size": 0.02, "preprocessor__preemph": None, "preprocessor__n_fft": None}),
    ("ctc", {"spm": {"model_type": "unigram", "vocab_size": 100}}),
    ("rnnt", {"joint__jointnet__activation": "tanh", "decoder__prednet__pred_rnn_layers": 2}),
    ("rnnt", {"joint__jointnet__dropout": 0.2, "decoder__prednet__dropout": 0.2}),
    ("tdt", {"joint__jointnet__dropout": 0.2, "decoder__prednet__pred_rnn_layers": 2, "encoder__xscaling": True}),
    ("tdt", {"joint__jointnet__activation": "sigmoid", "encoder__use_bias": False}),
    ("hybrid-rnnt", {"encoder__use_bias": False}),
    ("rnnt", STREAMING),
    ("rnnt", STREAMING | {"encoder__use_bias": False, "encoder__att_context_size": [8, 1], "encoder__xscaling": True}),
    ("rnnt", STREAMING | {"encoder__subsampling_factor": 4, "encoder__conv_kernel_size": 5}),
    ("rnnt", STREAMING | {"encoder__feat_in": 128, "preprocessor__features": 128, "preprocessor__normalize": None}),
    ("hybrid-rnnt", STREAMING | {"encoder__att_context_probs": [0.5, 0.25, 0.25]}),
    ("rnnt", UNIFIED),
    ("hybrid-tdt", {"joint__jointnet__dropout": 0.2, "encoder__n_layers": 1}),
]


@pytest.fixture(
    params=[*GIVEN, *range(len(VARIANTS))],
    ids=lambda case: case if isinstance(case, str) else f"{VARIANTS[case][0]}-{case}",
)
def model_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if isinstance(request.param, str):
        shared: Path = request.getfixturevalue("shared_dir")
        return shared / "models" / "nemo-tiny" / f"{request.param}.nemo"
    kind, changes = VARIANTS[request.param]
    return build(kind, tmp_path / "built", **changes)


@torch.no_grad()
def test_features_encoder_and_logits_are_those_of_nemo(model_file: Path) -> None:
    theirs = restore(model_file)
    archive = read_archive(model_file)
    ours = from_nemo(read_spec(archive))
    compare(theirs, ours, LogMel(feature_settings(archive)))


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


def restore(path: Path) -> Any:
    return nemo_asr.models.ASRModel.restore_from(str(path), map_location="cpu", strict=True).eval()


def compare(theirs: Any, ours: Any, log_mel: LogMel) -> None:
    features_BTM, mask_BT, encoded_BDT, lengths_B, states_BTD = compare_encoder(theirs, ours.encoder, log_mel)
    if not hasattr(theirs, "joint"):
        logits_BTV = ours(features_BTM, attention_mask=mask_BT).logits.log_softmax(-1)
        compare_rows(logits_BTV, theirs.decoder(encoder_output=encoded_BDT), lengths_B)
        return
    compare_joint(theirs, ours, encoded_BDT, features_BTM, mask_BT, lengths_B)
    if hasattr(theirs, "ctc_decoder"):
        logits_BTV = ours.ctc_logits(states_BTD).log_softmax(-1)
        compare_rows(logits_BTV, theirs.ctc_decoder(encoder_output=encoded_BDT), lengths_B)


def compare_joint(
    theirs: Any, ours: Any, encoded_BDT: torch.Tensor, features_BTM: torch.Tensor, mask_BT: torch.Tensor, lengths_B: Any
) -> None:
    blank = ours.config.blank_token_id
    labels_BU = torch.randint(0, blank, (4, 6), generator=torch.Generator().manual_seed(3))
    predicted_BHU, _, _ = theirs.decoder(targets=labels_BU, target_length=torch.tensor([6, 4, 5, 2]))
    theirs.joint.log_softmax = False
    theirs.joint.set_fuse_loss_wer(False)
    their_logits_BTUV = theirs.joint(encoder_outputs=encoded_BDT, decoder_outputs=predicted_BHU)
    start_B1 = torch.full((4, 1), blank)
    logits_BTUV = ours(
        features_BTM, attention_mask=mask_BT, decoder_input_ids=torch.cat([start_B1, labels_BU], dim=1)
    ).logits
    compare_rows(logits_BTUV, their_logits_BTUV, lengths_B)
