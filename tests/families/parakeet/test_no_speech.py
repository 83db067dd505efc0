"""Rows without a text: each head learns to write blanks only, and a step of nothing else has a finite loss."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from eartune.families.parakeet.load import load
from eartune.families.parakeet.model import ParakeetModel
from eartune.families.parakeet.network import parakeet_of
from eartune.families.registry import family
from eartune.manifest import Utterance
from eartune.model import IGNORED, PlacedUtterance
from eartune.training.batching.batches import Batch, SpeechDataset
from eartune.training.batching.plan import MicroBatch
from eartune.training.batching.windows import Window
from eartune.training.loss import encoder_inputs, target_inputs

CPU = torch.device("cpu")


@pytest.fixture(params=["ctc", "rnnt", "tdt", "hybrid"])
def model(request: pytest.FixtureRequest, tiny_nemo: dict[str, Path]) -> ParakeetModel:
    model = load(family("parakeet").find(str(tiny_nemo[request.param])))
    model.network.eval()
    return model


def batch_of(model: ParakeetModel, folder: Path, texts: Sequence[str], duration_s: float = 1.2) -> Batch:
    noise = 0.1 * np.random.default_rng(1).standard_normal(round(duration_s * 16_000))
    audio = folder / "noise.wav"
    soundfile.write(audio, noise.astype(np.float32), 16_000)
    rows = [Utterance(audio, text, duration_s, "en") for text in texts]
    windows = tuple(Window((PlacedUtterance(number, 0.0, duration_s),), duration_s, 1.6) for number in range(len(rows)))
    return SpeechDataset(rows, model)[MicroBatch(windows, 1.6)]


def loss_of(model: ParakeetModel, batch: Batch) -> torch.Tensor:
    return model.summed_loss([encoder_inputs(batch, model, CPU) | target_inputs(batch, CPU)])


def test_a_batch_of_empty_texts_trains_blanks(model: ParakeetModel, tmp_path: Path) -> None:
    batch = batch_of(model, tmp_path, ["", ""])
    loss = loss_of(model, batch)
    loss.backward()
    network = parakeet_of(model.network)
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    assert batch.num_target_tokens == 2
    encoded = network.encoder(**encoder_inputs(batch, model, CPU))
    if hasattr(network, "ctc_head"):
        # no other path than blanks
        frames = int(encoded.attention_mask[0].sum())
        blank = network.ctc_head(encoded.last_hidden_state)[:, :frames].log_softmax(-1)[
            ..., network.config.pad_token_id
        ]
        torch.testing.assert_close(loss, -blank.sum())


def test_beside_other_texts_it_is_one_answer(model: ParakeetModel, tmp_path: Path) -> None:
    both = batch_of(model, tmp_path, ["", "the oil"])
    alone = [batch_of(model, tmp_path, [text]) for text in ("", "the oil")]
    num_tokens = int((both.labels != IGNORED).sum())
    assert both.num_target_tokens == num_tokens + 1
    with torch.no_grad():
        expected = sum(float(loss_of(model, batch)) for batch in alone)
        assert float(loss_of(model, both)) == pytest.approx(expected, rel=1e-4)


def test_what_ctc_cannot_align_is_left_out_of_its_term(tiny_nemo: dict[str, Path], tmp_path: Path) -> None:
    model = load(family("parakeet").find(str(tiny_nemo["hybrid"])))
    model.network.eval()
    crowded = batch_of(model, tmp_path, ["check the oil"], duration_s=0.2)
    with torch.no_grad():
        found = float(loss_of(model, crowded))
        weight = model.network.config.aux_ctc_loss_weight
        model.network.config.aux_ctc_loss_weight = 0.0
        transducer = float(loss_of(model, crowded))
    assert found == pytest.approx((1 - weight) * transducer, rel=1e-5)
