"""Runs that teach a Parakeet letters its tokenizer lacks: told, trained in full, found again by every later verb."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from eartune.config import TrainConfig, resolve_config
from eartune.config.resolve import override
from eartune.errors import InputError
from eartune.families._nemo.archive import read_archive
from eartune.families.registry import vocabulary
from eartune.manifest import Utterance, read_manifest
from eartune.model import SpeechModel
from eartune.origin import read_origin
from eartune.training.adaptation.adapter_files import ADAPTER_WEIGHTS, logits
from eartune.training.adaptation.adapter_files import merge as merge_adapter
from eartune.verbs.evaluate import evaluate
from eartune.verbs.merge import merge
from eartune.verbs.open_model import locate, open_located
from eartune.verbs.train import train
from eartune.verbs.transcribe import transcribe
from tests import processes
from tests.exports import export_one
from tests.families.parakeet.test_vocabulary import EXTENDED
from tests.families.parakeet.test_weights import KINDS
from tests.verbs.test_methods import Lines
from tests.verbs.test_train import command, goes_on, losses

# ж 4, ю 3, э 2, щ 1; the other letters are known
TEXTS = ("жю ж", "эж", "щю", "юж э", "the pump", "насос")
ADDED = "жюэщ"


@pytest.fixture(scope="session")
def russian(tiny_speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clips of the tiny speech with texts that the tiny tokenizers do not know."""
    rows = [json.loads(line) for line in tiny_speech.read_text(encoding="utf-8").splitlines()]
    manifest = tmp_path_factory.mktemp("russian") / "speech.jsonl"
    told = [
        row | {"audio_filepath": str(tiny_speech.parent / row["audio_filepath"]), "text": text, "lang": "ru"}
        for row, text in zip(rows, TEXTS, strict=True)
    ]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in told), encoding="utf-8")
    return manifest


def configure(model: Path, speech: Path, out: Path, *, family: str = "parakeet", **options: object) -> TrainConfig:
    values: dict[str, object] = {
        "base_model": str(model), "train": [str(speech)], "val": [str(speech)], "output_dir": str(out),
        "num_train_epochs": 2, "per_device_train_batch_size": 3, "logging_steps": 1, "precision": "fp32",
        "dataloader_num_workers": 0, "learning_rate": 1e-2, "extend_vocabulary": True, **options,
    }  # fmt: skip
    return resolve_config(overrides=[override(name, value) for name, value in values.items()], family=family)


def weights(model: SpeechModel) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = model.network.state_dict()
    return state


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_with_adapters_is_found_again_by_every_later_verb(
    kind: str, tiny_nemo: dict[str, Path], russian: Path, tmp_path: Path
) -> None:
    said = Lines()
    run = train(configure(tiny_nemo[kind], russian, tmp_path / "run", r=4), reporter=said)
    assert "vocabulary: 4 characters get tokens of their own: ж ю э щ" in said.said
    assert f"trained in full, as tokens were added: {', '.join(EXTENDED[kind])}" in said.said
    for folder in (run.path, run.path / "best", run.path / "last"):
        origin = read_origin(folder)
        assert origin is not None
        assert origin.added_characters == ADDED

    located = locate(str(run.path))
    tuned = open_located(located)
    saved = load_file(run.path / "best" / ADAPTER_WEIGHTS)
    for name in EXTENDED[kind]:
        trained = saved[f"base_model.model.{name}.weight"]
        assert torch.equal(tuned.network.get_base_model().get_submodule(name).weight, trained)
        base = open_located(locate(str(tiny_nemo[kind]))).network.get_submodule(name).weight
        assert len(trained) == len(base) + len(ADDED)
        assert not torch.equal(trained[: len(base) - 1], base[:-1]), "the module is trained"

    probe = tuned.probe_inputs()
    expected = logits(tuned.network, probe, dtype=torch.float32)
    merge(str(run.path), out=tmp_path / "merged")
    exported = tmp_path / "exported.nemo"
    export_one(run.path, to="nemo", out=exported)
    # a merged model knows its tokenizer, and through it what to add to the archive it began as
    export_one(tmp_path / "merged", to="nemo", out=tmp_path / "again.nemo")
    utterances = read_manifest([russian]).utterances
    hypotheses: dict[str, list[str]] = {}
    for path in (tmp_path / "merged", exported, tmp_path / "again.nemo"):
        model = open_located(locate(str(path)))
        torch.testing.assert_close(logits(model.network, probe, dtype=torch.float32), expected, atol=1e-4, rtol=0)
        assert model.findings(utterances) == [None] * len(utterances)
        hypotheses[path.name] = [t.text for t in transcribe(str(path), [u.audio for u in utterances])]
    assert hypotheses["merged"] == hypotheses["exported.nemo"] == hypotheses["again.nemo"]
    ours, theirs = read_archive(exported), read_archive(tmp_path / "again.nemo")
    assert all(ours.file(name) == theirs.file(name) for name in ours.members if name.endswith((".yaml", ".model")))
    result = evaluate(str(run.path), data=[russian], out=tmp_path / "scores")
    assert result.base is not None


@pytest.mark.parametrize(
    "options",
    [
        {"method": "full"},
        {"unfreeze_encoder_last": 1},
        {"unfreeze_head": True},
        {"unfreeze_head": True, "with_lora": True},
        {"use_dora": True, "init_lora_weights": "pissa", "target_modules": ["q_proj", "linear1"]},
        pytest.param({"precision": "bf16", "layerwise_lr_decay": 0.9}, marks=pytest.mark.any_processor),
    ],
    ids=str,
)
def test_other_methods_train_the_new_rows_too(
    options: dict[str, Any], tiny_nemo: dict[str, Path], russian: Path, tmp_path: Path
) -> None:
    run = train(configure(tiny_nemo["hybrid"], russian, tmp_path / "run", **options))
    tuned, base = open_located(locate(str(run.path))), open_located(locate(str(tiny_nemo["hybrid"])))
    vocabulary("parakeet").extend(base, ADDED)
    if isinstance(tuned.network, PeftModel):
        tuned.network = merge_adapter(tuned.network)
    before, after = weights(base), weights(tuned)
    for name in EXTENDED["hybrid"]:
        assert before[f"{name}.weight"].shape == after[f"{name}.weight"].shape
        assert not torch.equal(before[f"{name}.weight"], after[f"{name}.weight"]), name
    export_one(run.path, to="nemo", out=tmp_path / "tuned.nemo")


def test_a_killed_run_ends_in_the_weights_of_an_unbroken_one(
    tiny_nemo: dict[str, Path], russian: Path, tmp_path: Path
) -> None:
    options = ["--extend-vocabulary", "--lora_r", "4", "--save-steps", "1", "--eval-strategy", "no", "--epochs", "3"]
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    model = tiny_nemo["tdt"]
    log = tmp_path / "log"
    processes.run(command(model, russian, unbroken, *options), log)
    process = processes.Command(command(model, russian, broken, *options), log)
    process.wait_for(lambda: len(list(broken.glob("checkpoints/checkpoint-*"))) > 0)
    process.kill()
    assert goes_on(processes.run(command(model, russian, broken, *options), log))
    assert losses(broken) == losses(unbroken)
    ours, theirs = (load_file(run / "last" / ADAPTER_WEIGHTS) for run in (broken, unbroken))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_without_the_option_the_refusal_names_it(tiny_nemo: dict[str, Path], russian: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no token for .* \(4 different ones: ж ю э щ\).*\(--extend-vocabulary\)"):
        train(configure(tiny_nemo["ctc"], russian, tmp_path / "run", extend_vocabulary=False))
    found = open_located(locate(str(tiny_nemo["ctc"]))).findings([Utterance(Path("x.wav"), "эж", 2.0)])
    assert found == [
        "text 'эж' has characters that the model has no token for: 'жэ' (Cyrillic letters); write it in letters that "
        "it has, or leave it out; extend_vocabulary adds tokens for those of the training texts (--extend-vocabulary)"
    ]
    with pytest.raises(InputError) as refusal:
        open_located(locate(str(tiny_nemo["canary"]))).describe_texts([Utterance(Path("x.wav"), "эж", 2.0)])
    assert "extend" not in str(refusal.value)


def test_characters_of_validation_texts_alone_get_no_token(
    tiny_nemo: dict[str, Path], russian: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    options = {"train": [str(tiny_speech)], "val": [str(russian)]}
    with pytest.raises(InputError, match=r"speech\.jsonl:1: text 'жю ж' has characters that the model has no token"):
        train(configure(tiny_nemo["ctc"], russian, tmp_path / "run", **options))


def test_texts_that_lack_nothing_add_nothing(tiny_nemo: dict[str, Path], tiny_speech: Path, tmp_path: Path) -> None:
    said = Lines()
    run = train(configure(tiny_nemo["ctc"], tiny_speech, tmp_path / "run", max_steps=1), reporter=said)
    assert "vocabulary: the tokenizer has a token for every character, so none is added" in said.said
    assert not any("trained in full" in line for line in said.said)
    export_one(run.path, to="nemo", out=tmp_path / "tuned.nemo")


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        ("whisper", "Whisper has a token for every byte"),
        ("canary", "the vocabulary of a Canary cannot be extended yet"),
    ],
)
def test_other_families_refuse_the_option(family: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(f"extend_vocabulary: {reason}")):
        configure(tmp_path / "model", tmp_path / "speech.jsonl", tmp_path / "run", family=family)
    with pytest.raises(InputError, match=f"Parakeet and Wav2Vec2 only, and this is a {family.title()}"):
        vocabulary(family)


def test_modules_that_are_trained_in_full_cannot_be_named_again(
    tiny_nemo: dict[str, Path], russian: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"'head' is joint\.head, which is trained in full already"):
        train(configure(tiny_nemo["tdt"], russian, tmp_path / "run", modules_to_save=["head"]))


def test_a_run_does_not_go_on_with_other_tokens(
    tiny_nemo: dict[str, Path], russian: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    run = train(configure(tiny_nemo["ctc"], tiny_speech, tmp_path / "run", max_steps=1))
    with pytest.raises(InputError, match="extend_vocabulary: was True, is False"):
        train(configure(tiny_nemo["ctc"], tiny_speech, run.path, max_steps=1, extend_vocabulary=False))
    with pytest.raises(InputError, match="its speech or texts have changed"):
        train(configure(tiny_nemo["ctc"], russian, run.path, max_steps=1))
