"""Parakeet's archives as networks and back; that the numbers are NeMo's is judged in tests/nemo/judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from eartune.errors import InputError
from eartune.families._nemo.archive import read_archive
from eartune.families.parakeet.configuration import read_spec
from eartune.families.parakeet.loss import summed_loss
from eartune.families.parakeet.network import ParakeetForRNNTWithCTC, ParakeetForTDTWithCTC, prepare_network
from eartune.families.parakeet.weights import from_nemo, to_nemo
from tests.tiny_nemo import (
    NUM_MELS,
    STREAMING_SETTINGS,
    configuration,
    members,
    random_weights,
    train_sentencepiece,
    write_members,
    write_tiny_nemo,
)

KINDS = ["ctc", "rnnt", "tdt", "hybrid"]


@pytest.mark.parametrize("kind", KINDS)
def test_weights_come_back_as_they_were(tiny_nemo: dict[str, Path], kind: str) -> None:
    archive = read_archive(tiny_nemo[kind])
    original, written = archive.weights(), to_nemo(from_nemo(read_spec(archive)).state_dict(), read_spec(archive))
    assert list(original) == list(written)
    for name, value in original.items():
        assert torch.equal(value, written[name]), name


@pytest.mark.parametrize(("name", "dtype"), [("half", torch.float16), ("brain", torch.bfloat16)])
def test_an_archive_in_half_precision_is_trained_in_float32_and_written_in_its_own(
    tmp_path: Path, name: str, dtype: torch.dtype
) -> None:
    archive = read_archive(write_tiny_nemo(tmp_path / f"{name}.nemo", "ctc", dtype=dtype))
    network = from_nemo(read_spec(archive))
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    original, written = archive.weights(), to_nemo(network.state_dict(), read_spec(archive))
    for key, value in original.items():
        assert value.dtype == written[key].dtype
        assert torch.equal(value, written[key]), key


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_trains_and_its_state_is_loaded_again(tiny_nemo: dict[str, Path], tmp_path: Path, kind: str) -> None:
    network = from_nemo(read_spec(read_archive(tiny_nemo[kind])))
    network.save_pretrained(tmp_path)
    again = type(network).from_pretrained(tmp_path)
    prepare_network(again)
    again.eval()
    inputs = probe(network)
    with torch.no_grad():
        torch.testing.assert_close(again(**inputs).logits, network(**inputs).logits, rtol=0, atol=0)
    assert again.config.output_dropouts == network.config.output_dropouts
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    again.train()(**inputs).logits.sum().backward()
    if kind != "ctc":
        blank = again.config.blank_token_id
        assert not again.decoder.embedding.weight.grad[blank].any(), "hypotheses begin with zeros in NeMo"
        assert again.decoder.embedding.weight.grad[3].any()


def probe(network: Any) -> dict[str, torch.Tensor]:
    features_BTM = torch.randn(2, 96, NUM_MELS, generator=torch.Generator().manual_seed(0))
    inputs = {"input_features": features_BTM, "attention_mask": torch.arange(96) < torch.tensor([[96], [50]])}
    blank = getattr(network.config, "blank_token_id", None)
    return inputs if blank is None else inputs | {"decoder_input_ids": torch.tensor([[blank, 3, 4], [blank, 3, 5]])}


def test_dropouts_are_those_of_the_configuration(tiny_nemo: dict[str, Path]) -> None:
    network = from_nemo(read_spec(read_archive(tiny_nemo["tdt"])))
    encoder = network.config.encoder_config
    assert (encoder.dropout, encoder.dropout_positions, encoder.activation_dropout, encoder.attention_dropout) == (
        0.1, 0.0, 0.1, 0.1
    )  # fmt: skip
    assert encoder.layerdrop == 0.0
    assert network.config.output_dropouts == {
        r"encoder\.layers\.\d+\.(feed_forward1|self_attn|conv|feed_forward2)": 0.1,
        r"decoder\.lstm": 0.2,
        r"joint\.activation": 0.2,
    }
    hooked = [name for name, module in network.named_modules() if module._forward_hooks]
    assert hooked == [
        "encoder.layers.0.feed_forward1", "encoder.layers.0.self_attn", "encoder.layers.0.conv",
        "encoder.layers.0.feed_forward2", "encoder.layers.1.feed_forward1", "encoder.layers.1.self_attn",
        "encoder.layers.1.conv", "encoder.layers.1.feed_forward2", "decoder.lstm", "joint.activation",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("part", "rate"), [("encoder.layers.0.conv", 0.1), ("decoder.lstm", 0.2), ("joint.activation", 0.2)]
)
def test_a_part_drops_out_at_its_rate_in_training_only(tiny_nemo: dict[str, Path], part: str, rate: float) -> None:
    network = from_nemo(read_spec(read_archive(tiny_nemo["tdt"]))).train()
    module = network.get_submodule(part)
    states = torch.ones(8, 500, 12 if part != "encoder.layers.0.conv" else 16)
    dropped = module(states)
    dropped = dropped[0] if isinstance(dropped, tuple) else dropped
    assert abs((dropped == 0).float().mean().item() - rate) < 0.02
    module.eval()
    whole = module(states)
    whole = whole[0] if isinstance(whole, tuple) else whole
    assert whole.all()


def test_decoding_ends_and_begins_with_the_blank_and_never_answers_with_a_duration(
    tiny_nemo: dict[str, Path],
) -> None:
    network = from_nemo(read_spec(read_archive(tiny_nemo["tdt"])))
    blank = network.config.blank_token_id
    assert network.config.vocab_size == blank + 1
    assert network.generation_config.suppress_tokens == [blank + number for number in range(1, 6)]
    inputs = probe(network)
    del inputs["decoder_input_ids"]
    sequences = network.generate(**inputs).sequences
    assert (sequences[:, 0] == blank).all()
    assert sequences.max() <= blank


def test_how_nemo_trains_is_kept_in_the_configuration(tiny_nemo: dict[str, Path]) -> None:
    hybrid = from_nemo(read_spec(read_archive(tiny_nemo["hybrid"])))
    assert isinstance(hybrid, ParakeetForTDTWithCTC)
    assert hybrid.config.tdt_loss == {"sigma": 0.02, "omega": 0.1, "fastemit_lambda": 0.0}
    assert hybrid.config.aux_ctc_loss_weight == 0.3
    states_BTD = hybrid.encoder(probe(hybrid)["input_features"]).last_hidden_state
    assert hybrid.ctc_logits(states_BTD).shape == (2, 12, hybrid.config.vocab_size)
    assert not hasattr(ParakeetForRNNTWithCTC, "durations")


@pytest.mark.parametrize("left_open", [None, "???", -1])
@pytest.mark.parametrize("vocabulary", [[], None])
def test_settings_that_nemo_fills_in_may_be_left_open(tmp_path: Path, left_open: Any, vocabulary: Any) -> None:
    head = {"feat_in": left_open, "num_classes": left_open, "vocabulary": vocabulary}
    changes = {f"aux_ctc__decoder__{name}": value for name, value in head.items()}
    joint: dict[str, Any] = {
        "joint__num_classes": left_open,
        "joint__jointnet": {"joint_hidden": 12, "activation": "relu"},
    }
    archive = read_archive(write_tiny_nemo(tmp_path / "model.nemo", "hybrid", **changes, **joint))
    network = from_nemo(read_spec(archive))
    assert network.aux_ctc_head.out_channels == network.config.vocab_size
    written = to_nemo(network.state_dict(), read_spec(archive))
    assert all(torch.equal(written[name], value) for name, value in archive.weights().items())


@pytest.mark.parametrize(("name", "kwargs"), [("default", "warprnnt_numba_kwargs"), ("warprnnt", "warprnnt_kwargs")])
def test_an_rnnt_is_trained_with_its_fast_emit(tmp_path: Path, name: str, kwargs: str) -> None:
    loss = {"loss_name": name, kwargs: {"fastemit_lambda": 0.5, "clamp": -1.0}, "tdt_kwargs": {"fastemit_lambda": 0.9}}
    plain = from_nemo(read_spec(read_archive(write_tiny_nemo(tmp_path / "plain.nemo", "rnnt"))))
    fast = from_nemo(read_spec(read_archive(write_tiny_nemo(tmp_path / "fast.nemo", "rnnt", loss=loss))))
    batch = probe(plain)
    batch |= {"attention_mask": torch.ones(batch["input_features"].shape[:2], dtype=torch.bool)}
    batch |= {"target_lengths": torch.full((len(batch["input_features"]),), batch["decoder_input_ids"].shape[1])}
    torch.testing.assert_close(summed_loss(fast, [batch]), 1.5 * summed_loss(plain, [batch]))


AS_STREAMING = {f"encoder__{name}": value for name, value in STREAMING_SETTINGS.items()}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("ctc", {"target": "nemo.collections.asr.models.EncDecCTCModel"}, "a model of class 'EncDecCTCModel'"),
    ("ctc", {"adapters": {"a": {}}}, "adapters are attached"),
    ("ctc", {"interctc__loss_weights": [0.3]}, "interctc.loss_weights is set"),
    ("ctc", {"encoder": None}, "has no section 'encoder'"),
    ("ctc", {"encoder___target_": "nemo.SqueezeformerEncoder"}, "only ConformerEncoder is supported"),
    ("ctc", {"encoder__self_attention_model": "rel_pos_local_attn"}, "encoder.self_attention_model is"),
    ("ctc", {"encoder__att_context_size": [128, 128]}, r"encoder.att_context_size is [128, 128]"),
    ("ctc", {"encoder__att_context_style": "chunked"}, "encoder.att_context_style is"),
    ("rnnt", {"encoder__att_context_style": "chunked_limited"}, "encoder.causal_downsampling is False, and only True"),
    ("ctc", AS_STREAMING, "is a model with a CTC head alone for streaming"),
    ("tdt", AS_STREAMING, "is a model with a TDT for streaming"),
    ("streaming", {"encoder__conv_norm_type": "batch_norm"}, "encoder.conv_norm_type is 'batch_norm'"),
    ("streaming", {"encoder__att_context_size": [[8, 3], [4, 1]]}, "encoder.att_context_size is [[8, 3], [4, 1]]"),
    ("streaming", {"encoder__att_context_size": [[-1, 3]]}, "encoder.att_context_size is [[-1, 3]]"),
    ("streaming", {"encoder__att_context_size": [[8, 2]]}, "same limited left context, a multiple of lookahead + 1"),
    ("streaming", {"encoder__att_context_size": "much"}, "encoder.att_context_size is 'much', expected pairs"),
    ("streaming", {"encoder__att_context_probs": [0.5, 0.5]}, "encoder.att_context_probs is [0.5, 0.5], and only one"),
    ("prompted", {"model_defaults__prompt_dictionary": ["en"]}, "prompt_dictionary is ['en'], expected names"),
    ("prompted", {"model_defaults__prompt_dictionary": {"en": 6}}, "en has the number 6, expected one from 0 to 5"),
    ("ctc", {"encoder__conv_context_size": "causal"}, "encoder.conv_context_size is 'causal'"),
    ("ctc", {"encoder__causal_downsampling": True}, "encoder.causal_downsampling is True"),
    ("ctc", {"encoder__subsampling": "striding"}, "encoder.subsampling is 'striding'"),
    ("ctc", {"encoder__subsampling_factor": 6}, "encoder.subsampling_factor is 6"),
    ("ctc", {"encoder__conv_norm_type": "layer_norm"}, "encoder.conv_norm_type is 'layer_norm'"),
    ("ctc", {"encoder__untie_biases": False}, "encoder.untie_biases is False"),
    ("ctc", {"encoder__stochastic_depth_drop_prob": 0.1}, "encoder.stochastic_depth_drop_prob is 0.1"),
    ("ctc", {"encoder__reduction": "pooling"}, "encoder.reduction is 'pooling'"),
    ("ctc", {"encoder__feat_out": 32}, "encoder.feat_out is 32"),
    ("ctc", {"encoder__new_switch": 1}, "encoder.new_switch = 1 is not known here"),
    ("ctc", {"encoder__n_layers": "many"}, "encoder.n_layers is 'many', expected a whole number"),
    ("ctc", {"encoder__n_layers": 10**9}, "encoder.n_layers is 1000000000, expected a whole number from 1 to 1000"),
    ("ctc", {"encoder__dropout": 1.5}, "encoder.dropout is 1.5, expected a rate"),
    ("rnnt", {"loss": {"loss_name": "default", "warprnnt_numba_kwargs": {"clamp": 2.0}}}, "clamps gradients at 2"),
    ("ctc", {"encoder__use_bias": "yes"}, "encoder.use_bias is 'yes', expected true or false"),
    ("ctc", {"preprocessor__normalize": "all_features"}, "preprocessor.normalize is 'all_features'"),
    ("ctc", {"preprocessor__frame_splicing": 2}, "preprocessor.frame_splicing is 2"),
    ("ctc", {"preprocessor__sample_rate": 8000}, "preprocessor.sample_rate is 8000"),
    ("ctc", {"preprocessor__window": "hamming"}, "preprocessor.window is 'hamming'"),
    ("ctc", {"encoder__n_layers": 3}, "40 weights are missing, such as encoder.layers.2"),
    ("ctc", {"encoder__n_layers": 1}, "40 weights are not in the network, such as encoder.layers.1"),
    ("ctc", {"encoder__feat_in": 64}, "encoder.feat_in is 64, and only 80 is supported"),
    ("ctc", {"encoder__d_model": 32, "decoder__feat_in": 32}, "weights are of another shape, such as ctc_head.weight"),
    ("ctc", {"encoder__d_model": 10**6, "decoder__feat_in": 10**6}, "weights are of another shape"),
    ("tdt", {"decoder__blank_as_pad": False}, "decoder.blank_as_pad is False"),
    ("tdt", {"decoder__normalization_mode": "layer"}, "decoder.normalization_mode is 'layer'"),
    ("tdt", {"decoder___target_": "nemo.StatelessTransducerDecoder"}, "only RNNTDecoder is supported"),
    ("tdt", {"joint__jointnet__joint_hidden": 24}, "joint.jointnet.joint_hidden is 24"),
    ("tdt", {"joint__masking_prob": 0.5}, "joint.masking_prob is 0.5"),
    ("tdt", {"decoder__prednet__rnn_hidden_size": 64}, "decoder.prednet.rnn_hidden_size is 64"),
    ("tdt", {"loss__tdt_kwargs__durations": [0, 1]}, "has 2 durations and the joint network 5"),
    ("tdt", {"loss__loss_name": "multiblank_rnnt"}, "loss.loss_name is 'multiblank_rnnt'"),
    ("rnnt", {"loss__streaming_loss_weight": 0.7}, "loss.streaming_loss_weight = 0.7 is not known here"),
    ("tdt", {"loss__streaming_loss_weight": 0.7}, "loss.streaming_loss_weight = 0.7 is not known here"),
    ("rnnt", {"loss__loss_name": "graph_rnnt"}, "loss.loss_name is 'graph_rnnt'"),
    ("hybrid", {"aux_ctc__decoder__num_classes": 12}, "aux_ctc.decoder has 12 tokens"),
    ("ctc", {"tokenizer__type": "agg"}, "tokenizer.type is 'agg'"),
    ("ctc", {"tokenizer__model_path": "nemo:other"}, "has no file 'other'"),
    ("canary", {}, "is a Canary model, not a Parakeet"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "changes", "message"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_transformers_does_not_compute_is_refused_by_name(
    tmp_path: Path, kind: str, changes: dict[str, Any], message: str
) -> None:
    path = write_tiny_nemo(tmp_path / "model.nemo", kind, **changes)
    with pytest.raises(InputError) as caught:
        from_nemo(read_spec(read_archive(path)))
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("weight", "value", "message"),
    [
        (
            "preprocessor.featurizer.fb",
            torch.zeros(1, 80, 257),
            "preprocessor.featurizer.fb is not what the settings say",
        ),
        ("decoder.prediction.embed.weight", torch.ones(161, 12), "the embedding of its blank is not zero"),
        ("joint.pred.bias", None, r"1 weights are missing, such as decoder\.decoder_projector\.bias"),
        ("stray.weight", torch.zeros(1), r"1 weights are not in the network, such as stray\.weight"),
        ("joint.pred.bias", torch.full((12,), torch.nan), r"12 of the 12 values of joint\.pred\.bias are NaN or inf"),
        ("joint.pred.bias", torch.zeros(12, dtype=torch.complex64), r"joint\.pred\.bias is complex64, but weights"),
        ("joint.pred.bias", torch.zeros(12, dtype=torch.int64), r"joint\.pred\.bias is int64, but weights"),
    ],
)
def test_weights_that_are_not_those_of_the_configuration_are_refused(
    tmp_path: Path, weight: str, value: torch.Tensor | None, message: str
) -> None:
    path = write_tiny_nemo(tmp_path / "model.nemo", "tdt", weights={weight: value})
    with pytest.raises(InputError, match=message):
        from_nemo(read_spec(read_archive(path)))


def test_weights_of_another_model_are_not_written(tiny_nemo: dict[str, Path]) -> None:
    tdt, rnnt = read_archive(tiny_nemo["tdt"]), read_archive(tiny_nemo["rnnt"])
    with pytest.raises(InputError, match=r"the network has no joint\.head\.weight of the shape"):
        to_nemo(from_nemo(read_spec(tdt)).state_dict(), read_spec(rnnt))
    state = from_nemo(read_spec(tdt)).state_dict() | {"encoder.lora_A.weight": torch.zeros(1)}
    with pytest.raises(InputError, match=r"has no counterpart of encoder\.lora_A\.weight"):
        to_nemo(state, read_spec(tdt))


@pytest.mark.parametrize(("dtype", "value"), [(torch.float32, float("nan")), (torch.float16, 1e5)])
def test_values_that_the_archive_cannot_hold_are_not_written(tmp_path: Path, dtype: torch.dtype, value: float) -> None:
    archive = read_archive(write_tiny_nemo(tmp_path / "model.nemo", "tdt", dtype=dtype))
    network = from_nemo(read_spec(archive))
    network.joint.head.bias.data[0] = value
    with pytest.raises(InputError, match=r"joint\.head\.bias has values that are NaN, infinite or too large"):
        to_nemo(network.state_dict(), read_spec(archive))


def test_a_tokenizer_of_another_size_is_refused(tmp_path: Path) -> None:
    contents = members(configuration("ctc", 160), random_weights("ctc", 160), train_sentencepiece(vocab_size=140))
    write_members(tmp_path / "model.nemo", contents)
    with pytest.raises(InputError, match="its tokenizer has 140 tokens and its network 160"):
        from_nemo(read_spec(read_archive(tmp_path / "model.nemo")))
