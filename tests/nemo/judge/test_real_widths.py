"""The widths of parakeet-tdt-0.6b-v3 and canary-1b-v2, with fewer layers and random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from eartune.families._nemo.archive import read_archive
from eartune.families._nemo.features import LogMel
from eartune.families._nemo.write_archive import write_archive
from eartune.families.canary import weights as canary
from eartune.families.canary.configuration import read_spec as read_canary
from eartune.families.parakeet import weights as parakeet
from eartune.families.parakeet.configuration import read_spec as read_parakeet

pytest.importorskip("nemo.collections.asr", reason="NeMo is not installed here: make test-nemo")
from tests.nemo.judge import test_canary, test_parakeet
from tests.nemo.judge.compare import changed
from tests.nemo.judge.models import build

pytestmark = [pytest.mark.nemo, pytest.mark.slow]

ENCODER = {
    "encoder__d_model": 1024, "encoder__n_heads": 8, "encoder__subsampling_conv_channels": 256, "encoder__n_layers": 2,
    "encoder__feat_in": 128, "preprocessor__features": 128, "encoder__pos_emb_max_len": 5000,
}  # fmt: skip
JOINT = {"pred_hidden": 640, "encoder_hidden": 1024, "joint_hidden": 640, "activation": "relu", "dropout": 0.2}
TDT = {
    "encoder__use_bias": False, "joint__jointnet": JOINT,
    "model_defaults__enc_hidden": 1024, "model_defaults__pred_hidden": 640, "model_defaults__joint_hidden": 640,
    "decoder__prednet__pred_hidden": 640,
    "decoder__prednet__pred_rnn_layers": 2, "decoder__prednet__dropout": 0.2,
    "spm": {"vocab_size": 8192, "whole": tuple(f"<|{number}|>" for number in range(8050))},
}  # fmt: skip
DECODER = "transf_decoder__config_dict"
CANARY = {
    "model_defaults": {"asr_enc_hidden": 1024, "lm_enc_hidden": 1024, "lm_dec_hidden": 1024},
    "transf_encoder__hidden_size": 1024, "head__hidden_size": 1024, f"{DECODER}__hidden_size": 1024,
    f"{DECODER}__inner_size": 4096, f"{DECODER}__num_attention_heads": 8, f"{DECODER}__num_layers": 2,
    f"{DECODER}__max_sequence_length": 1024,
    "spm": {"vocab_size": 16_384, "whole": tuple(f"<|{number}|>" for number in range(100, 16_200))},
}  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("kind", ["tdt", "canary"])
def test_logits_are_those_of_nemo_before_and_after_a_change(tmp_path: Path, kind: str) -> None:
    family: Any = parakeet if kind == "tdt" else canary
    judge: Any = test_parakeet if kind == "tdt" else test_canary
    archive = read_archive(build(kind, tmp_path / "built", **ENCODER, **(TDT if kind == "tdt" else CANARY)))
    spec = read_parakeet(archive) if kind == "tdt" else read_canary(archive)
    log_mel = LogMel(spec.features)
    ours = family.from_nemo(spec)
    judge.compare(judge.restore(archive.path), ours, log_mel)
    write_archive(archive, tmp_path / "tuned.nemo", family.to_nemo(changed(ours, 0.002).state_dict(), spec))
    judge.compare(judge.restore(tmp_path / "tuned.nemo"), ours, log_mel)
    assert (tmp_path / "tuned.nemo").stat().st_size <= archive.path.stat().st_size
