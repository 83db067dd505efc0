"""Canary's archives as networks and back; that the numbers are NeMo's is judged in tests/nemo/judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CanaryForConditionalGeneration

from eartune.errors import InputError
from eartune.families._nemo.archive import read_archive
from eartune.families._nemo.write_archive import write_archive
from eartune.families.canary.configuration import read_spec
from eartune.families.canary.network import prepare_network
from eartune.families.canary.weights import from_nemo, to_nemo
from tests.tiny_nemo import NUM_MELS, write_tiny_nemo


def test_weights_come_back_as_they_were_with_one_tensor_for_head_and_embedding(
    tiny_nemo: dict[str, Path], tmp_path: Path
) -> None:
    archive = read_archive(tiny_nemo["canary"])
    original, written = archive.weights(), to_nemo(from_nemo(read_spec(archive)).state_dict(), read_spec(archive))
    assert list(original) == list(written)
    for name, value in original.items():
        assert torch.equal(value, written[name]), name
    write_archive(archive, tmp_path / "out.nemo", written)
    assert (tmp_path / "out.nemo").stat().st_size <= archive.path.stat().st_size


def test_channels_of_the_decoder_alone_are_in_another_order(tiny_nemo: dict[str, Path]) -> None:
    archive = read_archive(tiny_nemo["canary"])
    theirs, ours = archive.weights(), from_nemo(read_spec(archive)).state_dict()
    name = "_embedding.token_embedding.weight"
    order = [0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15]
    assert torch.equal(ours["model.decoder.embed_tokens.weight"], theirs[f"transf_decoder.{name}"][:, order])
    layer = "transf_decoder._decoder.layers.1"
    kept = {"second_sub_layer.key_net": "encoder_attn.k_proj", "second_sub_layer.value_net": "encoder_attn.v_proj"}
    for nemo_name, name in kept.items():
        assert torch.equal(ours[f"model.decoder.layers.1.{name}.weight"], theirs[f"{layer}.{nemo_name}.weight"])
    assert torch.equal(
        ours["model.decoder.layers.1.mlp.fc2.bias"], theirs[f"{layer}.third_sub_layer.dense_out.bias"][order]
    )


def test_a_saved_network_is_loaded_by_transformers_with_the_same_logits(
    tiny_nemo: dict[str, Path], tmp_path: Path
) -> None:
    network = from_nemo(read_spec(read_archive(tiny_nemo["canary"])))
    network.save_pretrained(tmp_path)
    again = CanaryForConditionalGeneration.from_pretrained(tmp_path)
    prepare_network(again)
    inputs = {
        "input_features": torch.randn(1, 64, NUM_MELS, generator=torch.Generator().manual_seed(0)),
        "attention_mask": torch.ones(1, 64, dtype=torch.bool),
        "decoder_input_ids": torch.tensor([[7, 4, 16, 22, 22]]),
    }
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(**inputs).logits, network(**inputs).logits, rtol=0, atol=0)
    assert again.generation_config.to_dict() == network.generation_config.to_dict()
    assert again.proj_out.weight is again.model.decoder.embed_tokens.weight


def test_tokens_and_dropouts_are_those_of_the_archive(tiny_nemo: dict[str, Path]) -> None:
    network = from_nemo(read_spec(read_archive(tiny_nemo["canary"])))
    config = network.config
    assert (config.pad_token_id, config.eos_token_id, config.bos_token_id, config.decoder_start_token_id) == (
        2,
        3,
        4,
        7,
    )
    assert config.vocab_size % 8 == 0
    assert config.decoder_config.attention_dropout == 0.1
    hooked = {name for name, module in network.named_modules() if module._forward_hooks}
    assert {name for name in hooked if "decoder" in name} == {
        "model.decoder.embedding_layernorm", "model.decoder.norm",
        *(f"model.decoder.layers.0.{part}" for part in ("self_attn", "encoder_attn", "mlp")),
        *(f"model.decoder.layers.1.{part}" for part in ("self_attn", "encoder_attn", "mlp")),
    }  # fmt: skip
    assert len([name for name in hooked if "encoder.layers" in name]) == 8


def test_a_head_that_left_its_embedding_is_not_written(tiny_nemo: dict[str, Path]) -> None:
    archive = read_archive(tiny_nemo["canary"])
    state = dict(from_nemo(read_spec(archive)).state_dict())
    state["proj_out.weight"] = state["proj_out.weight"] + 1
    with pytest.raises(InputError, match="the head of the network differs from its token embedding"):
        to_nemo(state, read_spec(archive))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tokenizer__type": "agg"}, "tokenizer.type is 'agg'"),
    ({"transf_encoder__num_layers": 2}, "transf_encoder.num_layers is 2"),
    ({"model_defaults__lm_dec_hidden": 32}, "model_defaults.lm_dec_hidden is 32"),
    ({"transf_decoder__config_dict__hidden_size": 32}, "transf_decoder.config_dict.hidden_size is 32"),
    ({"transf_decoder__pre_ln_final_layer_norm": False}, "transf_decoder.pre_ln_final_layer_norm is False"),
    ({"transf_decoder__config_dict__pre_ln": False}, "transf_decoder.config_dict.pre_ln is False"),
    ({"transf_decoder__config_dict__hidden_act": "gelu"}, "transf_decoder.config_dict.hidden_act is 'gelu'"),
    ({"transf_decoder__config_dict__learn_positional_encodings": True}, "learn_positional_encodings is True"),
    ({"transf_decoder__config_dict__new": 1}, "transf_decoder.config_dict.new = 1 is not known here"),
    ({"head__num_layers": 2}, "head.num_layers is 2"),
    ({"head___target_": "nemo.Other"}, "only TokenClassifier is supported"),
    ({"prompt_format": "canary"}, "prompt_format is 'canary'"),
    ({"target": "nemo.collections.asr.models.EncDecCTCModelBPE"}, "is a Parakeet model, not a Canary"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_transformers_does_not_compute_is_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = write_tiny_nemo(tmp_path / "model.nemo", "canary", **changes)
    with pytest.raises(InputError) as caught:
        from_nemo(read_spec(read_archive(path)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_head_that_is_not_the_embedding_and_other_positions_are_refused(tmp_path: Path) -> None:
    name = "log_softmax.mlp.layer0.weight"
    path = write_tiny_nemo(tmp_path / "head.nemo", "canary", weights={name: torch.zeros(160, 16)})
    with pytest.raises(InputError, match="must be equal to another weight"):
        from_nemo(read_spec(read_archive(path)))
    name = "transf_decoder._embedding.position_embedding.pos_enc"
    path = write_tiny_nemo(tmp_path / "positions.nemo", "canary", weights={name: torch.zeros(64, 16)})
    with pytest.raises(InputError, match="are not NeMo's sinusoids"):
        from_nemo(read_spec(read_archive(path)))
