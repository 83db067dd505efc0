"""Archives with the settings of published models and small sizes: read, trained, written, or refused by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from eartune.families._nemo.archive import read_archive
from eartune.families._nemo.tokenizer import NORMAL, UNKNOWN, USER_DEFINED, parse_model
from eartune.families.parakeet.load import load, write_nemo
from eartune.families.parakeet.model import ONLY_WHOLE_CLIPS, ParakeetModel
from eartune.families.registry import family
from eartune.model import probe_clips
from tests import tiny_nemo

pytestmark = pytest.mark.real_speech
# in NeMo's layers without bias
NO_BIAS = re.compile(r"encoder\.layers\.\d+\.(feed_forward\d\.linear|conv\.\w+wise|self_attn\.linear).*\.bias")
SETTINGS = {
    "parakeet-tdt-0.6b-v3.yaml": "tdt",
    "parakeet-tdt_ctc-110m.yaml": "hybrid",
    "nemotron-3.5-asr-streaming-0.6b.yaml": "prompted",
    "parakeet-unified-en-0.6b.partial.yaml": "rnnt",
}


def nothing_else(_: dict[str, Any]) -> None:
    pass


def archive_with(file: Path, out: Path, *, change: Callable[[dict[str, Any]], None] = nothing_else) -> Path:
    """Write an archive with published settings, of which only sizes differ, and a tokenizer of the same pieces."""
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    config["encoder"] |= {"n_layers": tiny_nemo.NUM_LAYERS, "d_model": tiny_nemo.HIDDEN, "n_heads": 4}
    config["encoder"]["subsampling_conv_channels"] = tiny_nemo.CHANNELS
    config["decoder"]["prednet"]["pred_hidden"] = tiny_nemo.JOINT_HIDDEN
    hidden = dict.fromkeys(("joint_hidden", "pred_hidden"), tiny_nemo.JOINT_HIDDEN)
    if "num_prompts" in config:
        config["model_defaults"] |= {"enc_hidden": tiny_nemo.HIDDEN, "pred_hidden": tiny_nemo.JOINT_HIDDEN}
    config["joint"]["jointnet"] |= hidden | {"encoder_hidden": tiny_nemo.HIDDEN}
    if config.get("aux_ctc", {}).get("decoder", {}).get("feat_in"):
        config["aux_ctc"]["decoder"]["feat_in"] = tiny_nemo.HIDDEN
    change(config)
    words = [f"piece{number}" for number in range(config["decoder"]["vocab_size"] - 3)]
    tokenizer = tokenizer_of(config.get("labels") or ["<unk>", "a", "▁", *words])
    contents = tiny_nemo.members(config, weights_for(config, SETTINGS[file.name]), tokenizer)
    name = config["tokenizer"]["model_path"].removeprefix("nemo:")
    contents[f"./{name}"] = contents.pop(f"./{tiny_nemo.TOKENIZER}")
    tiny_nemo.write_members(out, contents)
    return out


def tokenizer_of(pieces: list[str]) -> bytes:
    proto = parse_model(tiny_nemo.train_sentencepiece(remove_extra_whitespaces=False), "")
    del proto.pieces[:]
    for number, piece in enumerate(pieces):
        kind = UNKNOWN if piece == "<unk>" else USER_DEFINED if re.fullmatch(r"<.+>|\d", piece) else NORMAL
        proto.pieces.add(piece=piece, score=-float(number), type=kind)
    model: bytes = proto.SerializeToString()
    return model


def weights_for(config: dict[str, Any], kind: str) -> dict[str, torch.Tensor]:
    weights = tiny_nemo.random_weights(kind, config["decoder"]["vocab_size"])
    inputs = tiny_nemo.CHANNELS * (config["encoder"]["feat_in"] // 8 + (kind in tiny_nemo.STREAMING))
    if kind == "prompted":
        told = tiny_nemo.HIDDEN + config["num_prompts"]
        weights["prompt_kernel.0.weight"] = torch.randn(2 * tiny_nemo.HIDDEN, told)
    weights["encoder.pre_encode.out.weight"] = torch.randn(tiny_nemo.HIDDEN, inputs)
    for layer in range(1, config["decoder"]["prednet"]["pred_rnn_layers"]):
        for name in [name for name in weights if name.endswith("_l0")]:
            weights[name.replace("_l0", f"_l{layer}")] = torch.randn(weights[name].shape)
    return {
        name: value
        for name, value in weights.items()
        if config["encoder"].get("use_bias", True) or not NO_BIAS.fullmatch(name)
    }


def opened(path: Path) -> ParakeetModel:
    return load(family("parakeet").find(str(path)))


@pytest.mark.parametrize("name", SETTINGS)
def test_models_of_published_settings_are_read_trained_and_written(shared_dir: Path, tmp_path: Path, name: str) -> None:
    path = archive_with(shared_dir / "nemo-configs" / name, tmp_path / "model.nemo")
    model, archive = opened(path), read_archive(path)
    tokens = model.labeler.tokens(["a  b "])[0]
    read = [7, *tokens] if model.prompts else tokens
    batch = model.features_of(probe_clips()) | {"decoder_input_ids": torch.tensor([read, read])}
    model.summed_loss([batch | {"target_lengths": torch.tensor([len(tokens)] * 2)}]).backward()
    write_nemo(model, path, tmp_path / "new.nemo")
    written = read_archive(tmp_path / "new.nemo")
    for member in archive.members.keys() - {"model_weights.ckpt"}:
        assert written.file(member) == archive.file(member)
    after = written.weights()
    assert all(torch.equal(value, after[name]) for name, value in archive.weights().items())


def test_placeholders_of_the_second_head_are_filled_in(shared_dir: Path, tmp_path: Path) -> None:
    def as_hybrid(config: dict[str, Any]) -> None:
        config["target"] = "nemo.collections.asr.models.EncDecHybridRNNTCTCBPEModel"
        config["aux_ctc"]["decoder"] |= {"feat_in": None, "num_classes": -1, "vocabulary": []}

    file = shared_dir / "nemo-configs" / "parakeet-tdt_ctc-110m.yaml"
    model = opened(archive_with(file, tmp_path / "model.nemo", change=as_hybrid))
    assert model.network.aux_ctc_head.out_channels == 1025


def test_the_contexts_prompts_and_tags_of_nemotron_are_read(shared_dir: Path, tmp_path: Path) -> None:
    file = shared_dir / "nemo-configs" / "nemotron-3.5-asr-streaming-0.6b.yaml"
    model = opened(archive_with(file, tmp_path / "model.nemo"))
    encoder = model.network.config.encoder_config
    assert (encoder.sliding_window, encoder.lookaheads, encoder.default_num_lookahead_tokens) == (57, [3, 0, 6, 13], 3)
    assert model.network.config.tdt_loss == {"fastemit_lambda": 0.005}
    prompts = model.prompts
    assert prompts is not None
    assert (prompts.auto, len(prompts.numbers)) == (101, 121)
    pieces = model.tokenizer.convert_ids_to_tokens([prompts.tags[number] for number in (0, 12, 13, 11)])
    assert pieces == ["<en-US>", "<pt-BR>", "<pt-PT>", "<ru-RU>"]


def test_a_model_made_for_streaming_too_says_what_is_trained(shared_dir: Path, tmp_path: Path) -> None:
    file = shared_dir / "nemo-configs" / "parakeet-unified-en-0.6b.partial.yaml"
    model = opened(archive_with(file, tmp_path / "model.nemo"))
    assert model.remarks([]) == [ONLY_WHOLE_CLIPS]
    assert model.network.config.encoder_config.scale_input
