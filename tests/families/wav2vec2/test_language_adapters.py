"""Language adapters of MMS, beside transformers' own loading."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2ForCTC

from eartune.base_model import BaseModel, weight_files
from eartune.errors import EartuneError, InputError
from eartune.families.registry import family
from eartune.families.wav2vec2 import language_adapters
from eartune.families.wav2vec2.language_adapters import adapter_weights, choose_name
from eartune.manifest import Utterance
from eartune.model import DecodeOptions, Waveform
from tests.families.wav2vec2.conftest import load

KNOWN = ["eng", "deu", "uig-script_arabic", "uig-script_cyrillic", "tok"]


@pytest.mark.parametrize(("language", "name"), [("en", "eng"), ("de", "deu"), ("ru", "rus")])
def test_a_language_is_loaded_as_transformers_does(
    tiny_wav2vec2: dict[str, Path], clips: list[Waveform], language: str, name: str
) -> None:
    folder = tiny_wav2vec2["mms"]
    model = load(folder, language=language)
    theirs = Wav2Vec2ForCTC.from_pretrained(folder, target_lang=name, ignore_mismatched_sizes=True).eval()
    tokenizer = Wav2Vec2CTCTokenizer.from_pretrained(folder, target_lang=name)
    inputs = model.features(torch.from_numpy(clips[0])[None], torch.tensor([len(clips[0])]))
    with torch.no_grad():
        found, expected = model.network(**inputs).logits, theirs(**inputs).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    ids = expected[0].argmax(dim=-1)
    ours = model.transcribe_batch([clips[0]], [], DecodeOptions())[0]
    special = [token for token in tokenizer.all_special_tokens if token != "<pad>"]
    text = tokenizer.decode(ids)
    for token in special:
        text = text.replace(token, "")
    assert ours == " ".join(text.split())


@pytest.mark.parametrize(
    ("language", "default", "name"),
    [
        ("en", None, "eng"),
        ("de", "eng", "deu"),
        ("tok", None, "tok"),
        ("ug", "uig-script_cyrillic", "uig-script_cyrillic"),
    ],
)
def test_the_adapter_of_a_language(language: str | None, default: str | None, name: str) -> None:
    assert choose_name(language, KNOWN, default, where="m") == name


@pytest.mark.parametrize(
    ("language", "message"),
    [
        (None, "m: has 5 languages: choose one with --language"),
        ("ug", "m: has several adapters for 'ug': uig-script_arabic, uig-script_cyrillic; set target_lang"),
        ("fr", "m: has no adapter for language 'fr'; it has eng, deu, uig-script_arabic, uig-script_cyrillic, tok"),
    ],
)
def test_a_language_without_an_adapter_is_refused(language: str | None, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        choose_name(language, KNOWN, None, where="m")
    assert message in str(refusal.value)


def test_rows_of_another_language_are_findings(tiny_wav2vec2: dict[str, Path]) -> None:
    rows = [Utterance(Path("x.wav"), "ja", 1.0, language=language) for language in ("de", "fr", None)]
    model = load(tiny_wav2vec2["mms"], language="de")
    for purpose in ("training", "decoding"):
        first, second, third = model.findings(rows, purpose)
        assert (first, third) == (None, None)
        assert second is not None
        assert second.startswith("language 'fr' is not that of the model's adapter, deu")
    new = load(tiny_wav2vec2["mms"], language="tok", new_vocabulary=True)
    assert new.findings([Utterance(Path("x.wav"), "", 1.0, language="tok")]) == [None]


def test_a_saved_language_is_read_back_and_by_transformers(tiny_wav2vec2: dict[str, Path], tmp_path: Path) -> None:
    model = load(tiny_wav2vec2["mms"], language="de")
    with torch.no_grad():
        for parameter in adapter_weights(model.network).values():
            parameter.add_(0.25)
    model.save(tmp_path)
    assert (tmp_path / "adapter.deu.safetensors").is_file()
    assert list(json.loads((tmp_path / "vocab.json").read_text())) == ["deu"]
    again = load(tmp_path)
    assert (again.adapter_name, again.tokenizer.get_vocab()) == ("deu", model.tokenizer.get_vocab())
    # the small file alone, put beside the published model
    beside = tmp_path / "beside"
    shutil.copytree(tiny_wav2vec2["mms"], beside)
    shutil.copy(tmp_path / "adapter.deu.safetensors", beside)
    theirs = Wav2Vec2ForCTC.from_pretrained(beside, target_lang="deu", ignore_mismatched_sizes=True)
    for name, parameter in adapter_weights(model.network).items():
        assert torch.equal(theirs.state_dict()[name], parameter)
        assert torch.equal(again.network.state_dict()[name], parameter)


def test_a_new_language_begins_with_new_adapters(tiny_wav2vec2: dict[str, Path]) -> None:
    first, second = (load(tiny_wav2vec2["mms"], language="fr", new_vocabulary=True) for _ in range(2))
    assert first.adapter_name == "fra"
    english = adapter_weights(load(tiny_wav2vec2["mms"], language="en").network)
    for name, parameter in adapter_weights(first.network).items():
        assert torch.equal(parameter, adapter_weights(second.network)[name])
        assert name.endswith(("bias", "norm.weight")) or not torch.equal(parameter, english[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found.pop("lm_head.bias"), "lacks lm_head.bias (1 in all)"),
        (lambda found: found.update(extra=torch.zeros(1)), "has more than the adapters: extra (1 in all)"),
        (lambda found: found.update({"lm_head.bias": torch.zeros(3)}), "lm_head.bias is [3], and [34] in the model"),
        (lambda found: found["lm_head.bias"].fill_(float("inf")), "lm_head.bias"),
        (lambda found: found.update({"lm_head.bias": torch.zeros(34, dtype=torch.int8)}), "lm_head.bias"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(
    tiny_wav2vec2: dict[str, Path], tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], object], message: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_wav2vec2["mms"], folder)
    path = folder / "adapter.deu.safetensors"
    found = load_file(path)
    change(found)
    save_file(found, path)
    with pytest.raises(InputError) as refusal:
        load(folder, language="de")
    assert message in str(refusal.value)
    assert "adapter.deu.safetensors" in str(refusal.value)


def test_a_head_is_never_left_at_random(tiny_wav2vec2: dict[str, Path], tmp_path: Path) -> None:
    """Only where the file of a language replaces it may the weights have another size than the vocabulary."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_wav2vec2["mms"], folder)
    vocabularies = json.loads((folder / "vocab.json").read_text())
    (folder / "vocab.json").write_text(json.dumps(vocabularies["deu"]))
    with pytest.raises(InputError, match=r"vocab_size is 32, and vocab\.json has 34 tokens"):
        load(folder)
    (folder / "vocab.json").write_text(json.dumps({"eng": vocabularies["deu"]}))
    (folder / "adapter.eng.safetensors").unlink()
    with pytest.raises(InputError, match=r"vocab_size is 32, and vocab\.json has 34 tokens"):
        load(folder)


@pytest.mark.parametrize("kind", ["hubert", "bert"])
def test_other_classes_have_the_setting_and_no_adapters(
    tiny_wav2vec2: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_wav2vec2[kind], folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"adapter_attn_dim": 4}))
    model = load(folder)
    assert (model.adapter_name, model.blocks.language_adapters) == (None, ())


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"version https://git-lfs.github.com/spec/v1\n"])
def test_an_adapter_that_is_no_safetensors_file_is_refused(
    tiny_wav2vec2: dict[str, Path], tmp_path: Path, content: bytes
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_wav2vec2["mms"], folder)
    (folder / "adapter.deu.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"adapter\.deu\.safetensors"):
        load(folder, language="de")
    (folder / "adapter.deu.safetensors").unlink()
    with pytest.raises(InputError, match=r"has a vocabulary for deu, and no adapter\.deu\.safetensors"):
        load(folder, language="de")
    assert load(folder, language="en").adapter_name == "eng"


def on_the_hub(folder: Path, cache: Path) -> BaseModel:
    """A model as the hub's library keeps it, without the adapters."""
    snapshot = cache / "models--facebook--mms-1b-all" / "snapshots" / "abc"
    shutil.copytree(folder, snapshot, ignore=shutil.ignore_patterns("adapter.*"))
    return BaseModel("facebook/mms-1b-all", "hub", snapshot, sha256="", revision="abc")


def test_only_the_adapter_of_the_language_is_fetched(
    tiny_wav2vec2: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def fetch(repo: str, name: str, *, revision: str, cache_dir: Path) -> str:
        asked.append((repo, name, revision, cache_dir))
        return str(tiny_wav2vec2["mms"] / name)

    monkeypatch.setattr(language_adapters, "hf_hub_download", fetch)
    model = family("wav2vec2").load(on_the_hub(tiny_wav2vec2["mms"], tmp_path), language="de")
    assert asked == [("facebook/mms-1b-all", "adapter.deu.safetensors", "abc", tmp_path)]
    expected = load(tiny_wav2vec2["mms"], language="de")
    assert all(torch.equal(p, adapter_weights(model.network)[n]) for n, p in adapter_weights(expected.network).items())


def test_an_adapter_that_cannot_be_fetched_is_one_line(
    tiny_wav2vec2: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise ConnectionError("no route to host\nsecond line")

    monkeypatch.setattr(language_adapters, "hf_hub_download", fail)
    with pytest.raises(EartuneError) as refusal:
        family("wav2vec2").load(on_the_hub(tiny_wav2vec2["mms"], tmp_path), language="de")
    assert str(refusal.value) == (
        "facebook/mms-1b-all (hub): adapter.deu.safetensors cannot be fetched: no route to host"
    )


def test_weights_of_languages_are_not_those_of_the_model(tiny_wav2vec2: dict[str, Path]) -> None:
    assert [path.name for path in weight_files(tiny_wav2vec2["mms"])] == ["model.safetensors"]
