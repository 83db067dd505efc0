"""Greedy decoding against transformers' generate and against one clip at a time in plain Python."""

from __future__ import annotations

from itertools import groupby

import pytest
import torch
from transformers import (
    GenerationConfig,
    ParakeetCTCConfig,
    ParakeetEncoderConfig,
    ParakeetForCTC,
    ParakeetForRNNT,
    ParakeetForTDT,
    ParakeetRNNTConfig,
    ParakeetTDTConfig,
)

from eartune.families.parakeet import greedy
from eartune.families.parakeet.greedy import decode_transducer
from eartune.ops.ctc import TimedTokens, decode_ctc

BLANK, WIDTH = 12, 16
FRAMES = [23, 1, 17, 23, 0, 8]
ENCODER = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "num_mel_bins": 16,
    "subsampling_conv_channels": 4, "conv_kernel_size": 5,
}  # fmt: skip
TRANSDUCERS = {"rnnt": None, "tdt": (0, 1, 2, 3, 4), "tdt without 0": (1, 2), "tdt unordered": (2, 0, 1)}


def transducer(kind: str, *, seed: int, blank_bias: float = 0.0) -> ParakeetForRNNT:
    """A random network that writes tokens and blanks in turn."""
    torch.manual_seed(seed)
    common = {
        "vocab_size": BLANK + 1, "blank_token_id": BLANK, "pad_token_id": BLANK, "decoder_hidden_size": WIDTH,
        "num_decoder_layers": 2, "max_symbols_per_step": 3, "encoder_config": ParakeetEncoderConfig(**ENCODER),
    }  # fmt: skip
    durations = TRANSDUCERS[kind]
    if durations is None:
        network = ParakeetForRNNT(ParakeetRNNTConfig(**common))
    else:
        network = ParakeetForTDT(ParakeetTDTConfig(**common, durations=durations))
    for parameter in network.parameters():
        parameter.data = torch.randn_like(parameter) * 0.7
    network.joint.head.bias.data[BLANK] += blank_bias
    extra = [BLANK + 1 + number for number in range(len(durations or ()))]
    network.generation_config = GenerationConfig(
        decoder_start_token_id=BLANK, bos_token_id=BLANK, pad_token_id=BLANK, suppress_tokens=extra or None
    )
    return network.eval()


def one_by_one(network: ParakeetForRNNT, encoder_BTH: torch.Tensor, frames: list[int]) -> list[TimedTokens]:
    """Decode as the papers say: one clip, one frame, one token at a time."""
    durations = getattr(network.config, "durations", None)
    found = []
    for states, num_frames in zip(encoder_BTH, frames, strict=True):
        decoded = TimedTokens([], [], [])
        time, symbols = 0, 0
        while time < num_frames:
            history = torch.tensor([[BLANK, *decoded.tokens]])
            predicted = network.decoder(history)[0, -1]
            logits = network.joint.head(torch.relu(states[time] + predicted))
            token = int(logits[: BLANK + 1].argmax())
            lasts = 0 if durations is None else durations[int(logits[BLANK + 1 :].argmax())]
            if token == BLANK:
                time, symbols = time + max(lasts, 1), 0
                continue
            decoded.tokens.append(token)
            decoded.starts.append(time)
            decoded.durations.append(1 if durations is None else lasts)
            time, symbols = time + lasts, symbols + 1 if lasts == 0 else 0
            if symbols == network.max_symbols_per_step:
                time, symbols = time + 1, 0
        found.append(decoded)
    return found


@pytest.mark.parametrize("looks", [1, 5])
@pytest.mark.parametrize("blank_bias", [-2.0, 0.0, 2.0])
@pytest.mark.parametrize("kind", TRANSDUCERS)
@torch.no_grad()
def test_transducers_write_what_one_clip_at_a_time_writes(
    kind: str, blank_bias: float, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(greedy, "steps_between_checks", lambda _: looks)
    written = 0
    for seed in range(3):
        network = transducer(kind, seed=seed, blank_bias=blank_bias)
        encoder = 2 * torch.randn(len(FRAMES), max(FRAMES), WIDTH)
        found = decode_transducer(network, encoder, torch.tensor(FRAMES))
        assert found == one_by_one(network, encoder, FRAMES)
        assert found[4] == TimedTokens([], [], [])
        written += sum(len(decoded.tokens) for decoded in found)
    assert written > 20


@pytest.mark.parametrize(("kind", "blank_bias"), [("rnnt", 0.0), ("rnnt", 2.0), ("tdt", 2.0)])
@torch.no_grad()
def test_transducers_write_what_generate_writes(kind: str, blank_bias: float) -> None:
    for seed in range(3):
        network = transducer(kind, seed=seed, blank_bias=blank_bias)
        if kind == "tdt":
            # generate limits nothing there: it would stay at a frame for ever
            network.joint.head.bias.data[BLANK + 1] -= 100
        features = torch.randn(3, 160, 16)
        mask = torch.arange(160) < torch.tensor([160, 40, 99])[:, None]
        states = network.get_audio_features(features, mask, output_attention_mask=True)
        frames = states.attention_mask.sum(-1)
        found = decode_transducer(network, states.pooler_output, frames)
        # the limit it sets itself, tokens times frames, leaves no room for blanks
        generated = network.generate(features, attention_mask=mask, max_new_tokens=200)
        for row, decoded in enumerate(found):
            tokens, durations = generated.sequences[row, 1:], generated.durations[row, 1:]
            starts = durations.cumsum(0) - durations
            # when a clip has ended, generate goes on with its last frame until the others have
            kept = (tokens != BLANK) & (starts < frames[row])
            assert decoded.tokens == tokens[kept].tolist()
            assert decoded.starts == starts[kept].tolist()
            if kind == "tdt":
                assert decoded.durations == durations[kept].tolist()


@torch.no_grad()
def test_ctc_writes_the_runs_of_its_likeliest_tokens() -> None:
    torch.manual_seed(0)
    logits = torch.randn(len(FRAMES), max(FRAMES), 3)
    found = decode_ctc(logits, torch.tensor(FRAMES), blank=2)
    for row, frames, decoded in zip(logits.argmax(-1).tolist(), FRAMES, found, strict=True):
        runs, start = [], 0
        for token, run in groupby(row[:frames]):
            lasts = len(list(run))
            runs += [(token, start, lasts)] if token != 2 else []
            start += lasts
        assert list(zip(decoded.tokens, decoded.starts, decoded.durations, strict=True)) == runs


@torch.no_grad()
def test_ctc_writes_what_generate_writes() -> None:
    torch.manual_seed(0)
    network = ParakeetForCTC(
        ParakeetCTCConfig(vocab_size=4, pad_token_id=3, encoder_config=ParakeetEncoderConfig(**ENCODER))
    ).eval()
    network.ctc_head.weight.data *= 100
    features = torch.randn(3, 160, 16)
    mask = torch.arange(160) < torch.tensor([160, 40, 99])[:, None]
    encoded = network.encoder(features, attention_mask=mask, output_attention_mask=True)
    logits = network.ctc_head(encoded.last_hidden_state)
    found = decode_ctc(logits, encoded.attention_mask.sum(-1), blank=3)
    for row, decoded in zip(network.generate(features, attention_mask=mask).tolist(), found, strict=True):
        assert decoded.tokens == [token for token, _ in groupby(row) if token != 3]
    assert sum(len(decoded.tokens) for decoded in found) > 10
