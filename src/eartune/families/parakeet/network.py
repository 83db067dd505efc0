"""Parakeet networks: transducers with an auxiliary CTC head, and transformers' own prepared to train as in NeMo."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import nn
from transformers import (
    GenerationConfig,
    Nemotron3_5AsrForRNNT,
    NemotronAsrStreamingForRNNT,
    ParakeetForCTC,
    ParakeetForRNNT,
    ParakeetForTDT,
)
from transformers.models.parakeet.modeling_parakeet import ParakeetEncoderCTCHead

from eartune.families._nemo.network import attach_dropouts
from eartune.model import Network

# modules with a row per token: the embedding of the prediction network, and the heads
WITH_TOKENS = ("decoder.embedding", "joint.head", "ctc_head", "aux_ctc_head")


PARAKEETS = (ParakeetForCTC, ParakeetForRNNT, NemotronAsrStreamingForRNNT, Nemotron3_5AsrForRNNT)
Memory = tuple[torch.Tensor, torch.Tensor]


class _WithCTC:
    """An auxiliary CTC head on the encoder of a transducer; forward is that of the transducer."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)  # type: ignore[call-arg]  # the transducer's class comes next
        self.aux_ctc_head = _ctc_head(config)
        self.post_init()  # type: ignore[attr-defined]

    def ctc_logits(self, states_BTD: torch.Tensor) -> torch.Tensor:
        """Return the CTC head's logits [B, T, V + 1] of encoder states; the blank is the last."""
        return self.aux_ctc_head(states_BTD)  # type: ignore[no-any-return]


class ParakeetForRNNTWithCTC(_WithCTC, ParakeetForRNNT):  # type: ignore[misc]  # transformers describes no types
    """An RNN-T whose encoder also feeds a CTC head."""


class ParakeetForTDTWithCTC(_WithCTC, ParakeetForTDT):  # type: ignore[misc]
    """A TDT whose encoder also feeds a CTC head."""


class NemotronAsrStreamingForRNNTWithCTC(_WithCTC, NemotronAsrStreamingForRNNT):  # type: ignore[misc]
    """A streaming RNN-T whose encoder also feeds a CTC head."""


def parakeet_of(network: Network) -> Network:
    """Return the Parakeet network, unwrapped from PEFT's model; adapter layers remain in it."""
    return network if isinstance(network, PARAKEETS) else network.get_base_model()


def _ctc_head(config: Any) -> ParakeetEncoderCTCHead:
    return ParakeetEncoderCTCHead(config.encoder_config.hidden_size, config.vocab_size, kernel_size=1)


def prepare_network(network: Network) -> None:
    """Apply settings that transformers ignores to a newly built or loaded network.

    Dropouts as in NeMo; the blank's embedding, the start of each hypothesis, stays zero; decoding of a transducer never
    emits a duration as a token; its LSTM runs under autocast on any processor.
    """
    attach_dropouts(network)
    if hasattr(network, "joint"):
        network.decoder.lstm.__class__ = PredictionLSTM
        network.decoder.lstm.dropout = getattr(network.config, "prediction_dropout", 0.0)
        _read_blank(network)


def set_blank(network: Network, blank: int) -> None:
    """Set the blank of a network, its last token, after its vocabulary was extended."""
    config = network.config
    for name in ("blank_token_id", "pad_token_id"):
        # a padding token other than the blank stays
        if getattr(config, name, None) == config.vocab_size - 1:
            setattr(config, name, blank)
    config.vocab_size = blank + 1
    if hasattr(network, "joint"):
        _read_blank(network)
    elif network.can_generate():
        network.generation_config.pad_token_id = blank


def _read_blank(network: Network) -> None:
    blank = network.config.blank_token_id
    network.decoder.blank_token_id = network.decoder.embedding.padding_idx = blank
    network.joint.vocab_size = network.config.vocab_size
    durations = getattr(network.config, "durations", ())
    network.generation_config = GenerationConfig(
        decoder_start_token_id=blank,
        bos_token_id=blank,
        pad_token_id=blank,
        suppress_tokens=[blank + 1 + number for number in range(len(durations))] or None,
    )


def network_class(config: Mapping[str, Any]) -> Any:
    """Return the class of a network by its config.json."""
    with_ctc = "aux_ctc_loss_weight" in config
    return {
        "parakeet_ctc": ParakeetForCTC,
        "parakeet_rnnt": ParakeetForRNNTWithCTC if with_ctc else ParakeetForRNNT,
        "parakeet_tdt": ParakeetForTDTWithCTC if with_ctc else ParakeetForTDT,
        "nemotron_asr_streaming": NemotronAsrStreamingForRNNTWithCTC if with_ctc else NemotronAsrStreamingForRNNT,
        "nemotron3_5_asr": Nemotron3_5AsrForRNNT,
    }[config["model_type"]]


class PredictionLSTM(nn.LSTM):
    """An LSTM that runs in float32 under autocast on processors without an LSTM of the autocast type.

    oneDNN has none in bf16 for processors without AVX-512, where torch emulates all other bf16 operations.
    """

    def forward(self, inputs: torch.Tensor, memory: Memory | None = None) -> tuple[torch.Tensor, Memory]:  # type: ignore[override]
        kind = inputs.device.type
        if kind != "cpu" or not torch.is_autocast_enabled(kind) or _runs(torch.get_autocast_dtype(kind)):
            return super().forward(inputs, memory)
        dtype = next(self.parameters()).dtype
        with torch.autocast(kind, enabled=False):
            memory = None if memory is None else (memory[0].to(dtype), memory[1].to(dtype))
            return super().forward(inputs.to(dtype), memory)


@cache
def _runs(dtype: torch.dtype) -> bool:
    """Return whether this processor can run an LSTM under autocast to a type."""
    with torch.random.fork_rng(devices=[]), torch.autocast("cpu", dtype), torch.no_grad():
        try:
            nn.LSTM(1, 1)(torch.zeros(1, 1, 1))
        except RuntimeError:
            return False
    return True
