"""Our networks beside NeMo's on a ragged batch: the parts that both families have.

B batch, S samples, T frames (of features, or of the encoder), M mel bins, D hidden size.
"""

from __future__ import annotations

from typing import Any

import torch

from eartune.families._nemo.features import LogMel

TOLERANCE = {"rtol": 0.0, "atol": 1e-4}


def ragged_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Return four clips of noise of different lengths."""
    samples_B = torch.tensor([24_000, 16_123, 31_999, 9_600])
    waveforms_BS = 0.1 * torch.randn(4, 32_000, generator=torch.Generator().manual_seed(1))
    for row, samples in enumerate(samples_B):
        waveforms_BS[row, samples:] = 0
    return waveforms_BS, samples_B


def compare_encoder(theirs: Any, our_encoder: Any, log_mel: LogMel) -> tuple[torch.Tensor, ...]:
    """Compare features and encoder; return ours (features, mask), theirs (states BDT, lengths) and our states BTD."""
    waveforms_BS, samples_B = ragged_batch()
    features_BMT, frames_B = theirs.preprocessor(input_signal=waveforms_BS, length=samples_B)
    features_BTM, mask_BT = log_mel(waveforms_BS, samples_B)
    assert mask_BT.sum(-1).tolist() == frames_B.tolist()
    compare_rows(features_BTM, features_BMT.transpose(1, 2), frames_B)
    encoded_BDT, lengths_B = theirs.encoder(audio_signal=features_BMT, length=frames_B)
    encoded = our_encoder(features_BTM, attention_mask=mask_BT)
    assert encoded.attention_mask.sum(-1).tolist() == lengths_B.tolist()
    compare_rows(encoded.last_hidden_state, encoded_BDT.transpose(1, 2), lengths_B)
    return features_BTM, mask_BT, encoded_BDT, lengths_B, encoded.last_hidden_state


def compare_rows(ours_BTx: torch.Tensor, theirs_BTx: torch.Tensor, lengths_B: torch.Tensor) -> None:
    """Compare what lies within each row's length."""
    for row, length in enumerate(lengths_B):
        torch.testing.assert_close(ours_BTx[row, :length], theirs_BTx[row, :length], **TOLERANCE)


def changed(network: Any, by: float = 0.05) -> Any:
    """Return the network with all its weights changed; the blank's embedding stays zero."""
    generator = torch.Generator().manual_seed(2)
    blank = getattr(network.config, "blank_token_id", None)
    for name, parameter in network.named_parameters():
        parameter.add_(by * torch.randn(parameter.shape, generator=generator))
        if name == "decoder.embedding.weight":
            parameter[blank] = 0
    return network
