"""Greedy decoding, judged by NeMo's greedy_batch on its own encoder's states of real clips."""

from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

from eartune.families.parakeet.configuration import read_spec
from eartune.families.parakeet.greedy import decode_transducer
from eartune.ops.ctc import decode_ctc

nemo_asr = pytest.importorskip("nemo.collections.asr", reason="NeMo is not installed here: make test-nemo")
from omegaconf import OmegaConf  # noqa: E402  it comes with NeMo

from eartune.families._nemo.archive import read_archive  # noqa: E402
from eartune.families.parakeet.weights import from_nemo  # noqa: E402

pytestmark = pytest.mark.nemo


def open_both(folder: Path, kind: str) -> tuple[Any, Any]:
    path = folder / "models" / "nemo-tiny" / f"{kind}.nemo"
    theirs = nemo_asr.models.ASRModel.restore_from(str(path), map_location="cpu").eval()
    return theirs, from_nemo(read_spec(read_archive(path))).eval()


def encode(theirs: Any, folder: Path, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return NeMo's states [B, T, D] of the clips that come with a model, and beside each a longer noise."""
    clips = [
        torch.from_numpy(soundfile.read(path, dtype="float32")[0])
        for path in sorted((folder / "models" / "nemo-tiny" / "audio" / kind).glob("*.wav"))
    ]
    assert len(clips) > 1
    torch.manual_seed(0)
    clips += [torch.cat([clip, torch.randn(16_000)]) for clip in clips]
    samples_B = torch.tensor([len(clip) for clip in clips])
    waveforms_BS = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    features, lengths = theirs.preprocessor(input_signal=waveforms_BS, length=samples_B)
    encoded_BDT, frames_B = theirs.encoder(audio_signal=features, length=lengths)
    return encoded_BDT.transpose(1, 2), frames_B


@pytest.mark.parametrize("max_symbols", [1, 2, 10])
@pytest.mark.parametrize("kind", ["parakeet-rnnt", "parakeet-tdt", "parakeet-hybrid"])
@torch.no_grad()
def test_transducers(kind: str, max_symbols: int, shared_dir: Path) -> None:
    theirs, ours = open_both(shared_dir, kind)
    states_BTD, frames_B = encode(theirs, shared_dir, kind)
    with_durations = hasattr(ours.config, "durations")
    settings = {"strategy": "greedy_batch", "greedy": {"max_symbols": max_symbols}}
    if with_durations:
        settings |= {"model_type": "tdt", "durations": ours.config.durations, "tdt_include_token_duration": True}
    theirs.change_decoding_strategy(OmegaConf.create(settings))
    ours.max_symbols_per_step = max_symbols
    found = decode_transducer(ours, ours.encoder_projector(states_BTD), frames_B)
    assert any(decoded.tokens for decoded in found)
    (hypotheses,) = theirs.decoding.decoding(encoder_output=states_BTD.transpose(1, 2), encoded_lengths=frames_B)
    for row, (decoded, hypothesis) in enumerate(zip(found, hypotheses, strict=True)):
        assert decoded.tokens == torch.as_tensor(hypothesis.y_sequence).tolist()
        assert decoded.starts == torch.as_tensor(hypothesis.timestamp).tolist()
        if with_durations:
            # in a batch, NeMo notes for some tokens the duration of a frame that it reads while other clips seek theirs
            alone = states_BTD[row : row + 1].transpose(1, 2)
            ((only,),) = theirs.decoding.decoding(encoder_output=alone, encoded_lengths=frames_B[row : row + 1])
            assert decoded.durations == torch.as_tensor(only.token_duration).tolist()


@torch.no_grad()
def test_ctc(shared_dir: Path) -> None:
    theirs, ours = open_both(shared_dir, "parakeet-ctc")
    states_BTD, frames_B = encode(theirs, shared_dir, "parakeet-ctc")
    log_probs_BTV = theirs.decoder(encoder_output=states_BTD.transpose(1, 2))
    hypotheses = theirs.decoding.ctc_decoder_predictions_tensor(log_probs_BTV, frames_B, return_hypotheses=True)
    found = decode_ctc(ours.ctc_head(states_BTD), frames_B, blank=ours.config.pad_token_id)
    texts = [theirs.tokenizer.ids_to_text(decoded.tokens) for decoded in found]
    assert any(texts)
    assert texts == [hypothesis.text for hypothesis in hypotheses]
