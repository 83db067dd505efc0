"""Model folders: what is missing or does not fit is named, in one line with its file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from eartune.errors import InputError
from eartune.families.registry import family_of
from eartune.families.wav2vec2.features import FilterBankSettings, SampleSettings
from eartune.model import DecodeOptions
from tests.families.wav2vec2.conftest import load
from tests.tiny_wav2vec2 import LETTERS


def edit(name: str, **changes: Any) -> Callable[[Path], None]:
    """Change values of a JSON file; None removes one."""

    def apply(folder: Path) -> None:
        found = json.loads((folder / name).read_text())
        found = {key: value for key, value in (found | changes).items() if value is not None}
        (folder / name).write_text(json.dumps(found))

    return apply


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        found = load_file(folder / "model.safetensors")
        change(found)
        save_file(found, folder / "model.safetensors", metadata={"format": "pt"})

    return apply


def renumber(folder: Path) -> None:
    found = json.loads((folder / "vocab.json").read_text())
    (folder / "vocab.json").write_text(json.dumps({name: number + 1 for name, number in found.items()}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove("vocab.json"), "has no vocabulary (vocab.json), as it was trained without transcripts"),
        (renumber, "vocab.json: its 32 tokens are not numbered from 0 on"),
        (edit("vocab.json", eng={"a": 0}), "vocab.json: mixes tokens and vocabularies of languages"),
        (edit("vocab.json", a="x"), "vocab.json"),
        (edit("config.json", vocab_size=31), "config.json: vocab_size is 31, and vocab.json has 32 tokens"),
        (edit("tokenizer_config.json", pad_token="[PAD]"), "vocab.json has no token '[PAD]'"),
        (edit("tokenizer_config.json", word_delimiter_token="_"), "vocab.json has no token '_'"),
        (edit("preprocessor_config.json", sampling_rate=8000), "preprocessor_config.json: sampling_rate is 8000"),
        (remove("preprocessor_config.json"), "preprocessor_config.json: is not there"),
        (edit("config.json", hidden_size=10**9), "config.json: "),
        (edit("config.json", hidden_size=36), "config.json: "),
        (edit("config.json", num_attention_heads=5), "config.json: is of a network that cannot be built"),
        (edit("config.json", conv_stride=[0] * 7), "config.json: conv_stride"),
        (edit("config.json", feat_extract_norm="batch"), "config.json: feat_extract_norm"),
        (edit("config.json", hidden_dropout=2.0), "config.json: hidden_dropout"),
        (edit("config.json", model_type="wav2vec"), "model_type is 'wav2vec', expected"),
        (weights(lambda found: found.pop("lm_head.weight")), "has no output head, so it cannot transcribe yet"),
        (weights(lambda found: found.pop("wav2vec2.encoder.layer_norm.weight")), "its weights are incomplete"),
        (
            weights(lambda found: found["lm_head.weight"].fill_(float("nan"))),
            "lm_head.weight",
        ),
        (remove("model.safetensors"), "has no weights"),
    ],
)
def test_a_folder_that_does_not_fit_is_named(
    tiny_wav2vec2: dict[str, Path], tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_wav2vec2["layer"], folder)
    change(folder)
    with pytest.raises(InputError) as refusal:
        load(folder)
    assert message in str(refusal.value)
    assert str(folder) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_base_model_without_transcripts_needs_a_new_vocabulary(tiny_wav2vec2: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="train it with --new-vocabulary"):
        load(tiny_wav2vec2["pretrained"])
    model = load(tiny_wav2vec2["pretrained"], new_vocabulary=True)
    assert model.labeler.characters == frozenset()
    assert model.network.lm_head.weight.shape == (3, 32)
    again = load(tiny_wav2vec2["pretrained"], new_vocabulary=True)
    assert torch.equal(model.network.lm_head.weight, again.network.lm_head.weight)


def test_a_network_without_a_size_gets_one(tiny_wav2vec2: dict[str, Path], tmp_path: Path) -> None:
    """As w2v-bert-2.0 is published: no vocabulary, and vocab_size null."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_wav2vec2["bert"], folder)
    found = json.loads((folder / "config.json").read_text()) | {"vocab_size": None}
    (folder / "config.json").write_text(json.dumps(found))
    weights(lambda tensors: [tensors.pop(name) for name in ("lm_head.weight", "lm_head.bias")])(folder)
    assert load(folder, new_vocabulary=True).network.config.vocab_size == 3


@pytest.mark.parametrize("kind", ["layer", "bert"])
def test_features_may_be_described_with_the_processor(
    tiny_wav2vec2: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    """As transformers 5 writes them."""
    load(tiny_wav2vec2[kind]).save(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    expected = FilterBankSettings if kind == "bert" else SampleSettings
    assert isinstance(load(tmp_path).extractor.settings, expected)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("facebook/mms-1b-all", "wav2vec2"),
        ("facebook/wav2vec2-xls-r-300m", "wav2vec2"),
        ("facebook/w2v-bert-2.0", "wav2vec2"),
        ("facebook/hubert-large-ls960-ft", "wav2vec2"),
        ("jonatasgrosman/wav2vec2-large-xlsr-53-russian", "wav2vec2"),
        ("someone/whisper-small-comms", "whisper"),
    ],
)
def test_hub_ids_tell_the_family(spec: str, name: str) -> None:
    assert family_of(spec) == name


@pytest.mark.parametrize("kind", ["group", "layer", "bert", "hubert"])
def test_a_folder_tells_its_family(tiny_wav2vec2: dict[str, Path], kind: str) -> None:
    assert family_of(str(tiny_wav2vec2[kind])) == "wav2vec2"


@pytest.mark.parametrize("form", ["added_tokens.json", "tokenizer_config.json"])
def test_tokens_that_guides_add_are_read(tiny_wav2vec2: dict[str, Path], tmp_path: Path, form: str) -> None:
    """Their vocabularies have no <s> and </s>, which the tokenizer adds, and the head has rows for them."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_wav2vec2["layer"], folder)
    names = ["<pad>", "<unk>", "|", *LETTERS]
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(names)}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    if form == "added_tokens.json":
        (folder / form).write_text(json.dumps({"<s>": 30, "</s>": 31}))
    else:
        added = {"30": {"content": "<s>"}, "31": {"content": "</s>"}}
        edit(form, added_tokens_decoder=added)(folder)
    model = load(folder)
    assert model.tokenizer.get_vocab() == {name: number for number, name in enumerate([*names, "<s>", "</s>"])}
    assert model.labeler.characters == set(LETTERS)
    assert "<s>" not in model.transcribe_batch([np.zeros(16_000, dtype=np.float32)], [], DecodeOptions())[0]


@pytest.mark.parametrize("kind", ["layer", "group", "hubert"])
@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_names_of_published_weights_are_read(
    tiny_wav2vec2: dict[str, Path], tmp_path: Path, kind: str, suffix: str
) -> None:
    """The weight norm of most models on the hub was saved under torch's older names, often as a pickle."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_wav2vec2[kind], folder)
    found = load_file(folder / "model.safetensors")
    older = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    renamed = {next((n.replace(new, old) for new, old in older.items() if new in n), n): v for n, v in found.items()}
    assert renamed.keys() != found.keys()
    if suffix == ".bin":
        (folder / "model.safetensors").unlink()
        torch.save(renamed, folder / "pytorch_model.bin")
    else:
        save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    expected, model = load(tiny_wav2vec2[kind]), load(folder)
    for name, value in expected.network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], value), name
