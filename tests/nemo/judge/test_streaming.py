"""Models that stream, and those that are told a language, judged by NeMo: contexts, prompts, loss, texts, the way back.

B batch, T frames (of features, or of the encoder), D hidden size, U tokens.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eartune.families._nemo.archive import read_archive
from eartune.families.parakeet.load import load, write_nemo
from eartune.families.parakeet.loss import summed_loss
from eartune.families.parakeet.model import ParakeetModel
from eartune.families.parakeet.streaming import encoded, lookahead
from eartune.families.registry import family
from eartune.manifest import Utterance
from eartune.model import DecodeOptions

nemo_asr = pytest.importorskip("nemo.collections.asr", reason="NeMo is not installed here: make test-nemo")
from tests.nemo.judge.compare import changed, compare_rows, ragged_batch  # noqa: E402  they need NeMo
from tests.nemo.judge.models import STREAMING, build  # noqa: E402

pytestmark = pytest.mark.nemo


@pytest.fixture(scope="module", params=["rnnt", "hybrid-rnnt", "prompted"])
def model_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(request.param, tmp_path_factory.mktemp("built") / "model", **STREAMING)


@pytest.fixture
def ours(model_file: Path) -> ParakeetModel:
    return load(family("parakeet").find(str(model_file)))


@pytest.fixture
def theirs(model_file: Path) -> Any:
    return restore(model_file)


def restore(path: Path) -> Any:
    return nemo_asr.models.ASRModel.restore_from(str(path), map_location="cpu", strict=True).eval()


def prompts_for(theirs: Any, numbers: list[int]) -> dict[str, torch.Tensor]:
    return {"prompt_indices": torch.tensor(numbers)} if hasattr(theirs, "prompt_kernel") else {}


def compare_states(ours: ParakeetModel, theirs: Any, numbers: list[int]) -> None:
    """Compare the encoder's states of four clips, told the languages of these prompts where the model has some."""
    waveforms_BS, samples_B = ragged_batch()
    expected_BDT, lengths_B = theirs(
        input_signal=waveforms_BS, input_signal_length=samples_B, **prompts_for(theirs, numbers)
    )
    told = torch.tensor(numbers) if ours.prompts else None
    states_BTD, frames_B = encoded(ours.network, ours.features(waveforms_BS, samples_B), told)
    assert frames_B.tolist() == lengths_B.tolist()
    compare_rows(states_BTD, expected_BDT.transpose(1, 2), lengths_B)


@pytest.mark.parametrize("ahead", [3, 0, 1])
@torch.no_grad()
def test_each_context_is_that_of_nemo(ours: ParakeetModel, theirs: Any, ahead: int) -> None:
    theirs.encoder.set_default_att_context_size([8, ahead])
    ours.network.config.encoder_config.default_num_lookahead_tokens = ahead
    compare_states(ours, theirs, [0, 2, 5, 4])


def test_loss_and_gradients_are_those_of_nemo(ours: ParakeetModel, theirs: Any) -> None:
    waveforms_BS, samples_B = ragged_batch()
    generator = torch.Generator().manual_seed(3)
    targets_BU = torch.randint(1, ours.network.config.vocab_size - 1, (4, 4), generator=generator)
    tokens_B = torch.tensor([4, 3, 4, 1])
    numbers = [0, 2, 5, 4]
    expected_BDT, lengths_B = theirs(
        input_signal=waveforms_BS, input_signal_length=samples_B, **prompts_for(theirs, numbers)
    )
    predicted, _, _ = theirs.decoder(targets=targets_BU, target_length=tokens_B)
    joint = theirs.joint(encoder_outputs=expected_BDT, decoder_outputs=predicted)
    theirs.loss.reduction = "sum"
    expected = theirs.loss(log_probs=joint, targets=targets_BU, input_lengths=lengths_B, target_lengths=tokens_B)
    expected.backward()
    network = ours.network
    if hasattr(network.config, "aux_ctc_loss_weight"):
        network.config.aux_ctc_loss_weight = 0.0
    inputs_BU = torch.cat([torch.tensor(numbers)[:, None], targets_BU], dim=1) if ours.prompts else targets_BU
    batch = ours.features(waveforms_BS, samples_B) | {"decoder_input_ids": inputs_BU, "target_lengths": tokens_B}
    # dropout off, as in NeMo's evaluation
    found = summed_loss(network.eval(), [batch])
    found.backward()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    pairs = {
        "joint.enc.weight": "encoder_projector.weight",
        "encoder.pre_encode.conv.0.weight": "encoder.subsampling.conv_in.weight",
        "encoder.pre_encode.conv.5.weight": "encoder.subsampling.layers.1.depthwise_conv.weight",
        "encoder.layers.0.conv.batch_norm.weight": "encoder.layers.0.conv.norm.weight",
        "encoder.layers.1.self_attn.linear_pos.weight": "encoder.layers.1.self_attn.relative_k_proj.weight",
        **({"prompt_kernel.0.weight": "prompt_projector.linear_1.weight"} if ours.prompts else {}),
    }
    for name, here in pairs.items():
        gradient = theirs.get_parameter(name).grad
        torch.testing.assert_close(network.get_parameter(here).grad, gradient, rtol=1e-3, atol=1e-4, msg=name)


def test_contexts_are_drawn_as_often_as_nemo_draws_them(ours: ParakeetModel, theirs: Any) -> None:
    random.seed(0)
    torch.manual_seed(0)
    theirs_drawn = [
        random.choices(theirs.encoder.att_context_size_all, weights=theirs.encoder.att_context_probs)[0][1]
        for _ in range(600)
    ]
    ours.network.train()
    drawn = [lookahead(ours.network)["num_lookahead_tokens"] for _ in range(600)]
    for ahead in (3, 0, 1):
        assert drawn.count(ahead) == pytest.approx(theirs_drawn.count(ahead), abs=60)


@pytest.mark.parametrize("language", ["en", "de"])
def test_texts_are_those_of_nemo(ours: ParakeetModel, theirs: Any, language: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    clips = [0.1 * generator.standard_normal(size).astype(np.float32) for size in (30_000, 16_000)]
    spoken = [Utterance(tmp_path / "a.wav", "", len(clip) / 16_000, language=language) for clip in clips]
    found = ours.transcribe_batch(clips, spoken, DecodeOptions())
    samples_B = torch.tensor([len(clip) for clip in clips])
    waveforms_BS = torch.zeros(2, 30_000)
    for row, clip in enumerate(clips):
        waveforms_BS[row, : len(clip)] = torch.from_numpy(clip)
    number = 2 if language == "de" else 0
    with torch.no_grad():
        encoded_BDT, lengths_B = theirs(
            input_signal=waveforms_BS, input_signal_length=samples_B, **prompts_for(theirs, [number] * 2)
        )
        theirs.decoding.set_strip_lang_tags(True)
        hypotheses = theirs.decoding.rnnt_decoder_predictions_tensor(encoded_BDT, lengths_B)
    assert found == [hypothesis.text.strip() for hypothesis in hypotheses]


@torch.no_grad()
def test_weights_that_were_changed_come_back_in_nemo(ours: ParakeetModel, model_file: Path, tmp_path: Path) -> None:
    changed(ours.network)
    write_nemo(ours, model_file, tmp_path / "tuned.nemo")
    theirs = restore(tmp_path / "tuned.nemo")
    weights = read_archive(tmp_path / "tuned.nemo").weights()
    for name, value in theirs.state_dict().items():
        assert torch.equal(value, weights[name]), name
    compare_states(ours, theirs, [1, 1, 3, 5])
