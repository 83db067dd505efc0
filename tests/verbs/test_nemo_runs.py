"""Runs that begin as a .nemo file: each kind by each method, exported as one, and interrupted on the way."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from eartune.config import TrainConfig, resolve_config
from eartune.config.resolve import override
from eartune.errors import InputError, Interrupted
from eartune.families._nemo.archive import read_archive
from eartune.families.registry import family_of
from eartune.manifest import read_manifest
from eartune.training.adaptation.adapter_files import logits
from eartune.verbs.evaluate import evaluate
from eartune.verbs.open_model import locate, open_located
from eartune.verbs.train import train
from tests.exports import export_one
from tests.tiny_nemo import MODELS

PARTS = {"unfreeze_encoder_last": 1, "unfreeze_head": True, "train_norms": True, "train_bias": True}
CONVOLUTIONS = ["q_proj", "relative_k_proj", "linear1", "pointwise_conv1", "pointwise_conv2"]
METHODS: dict[str, dict[str, Any]] = {
    "pissa, dora": {"r": 4, "init_lora_weights": "pissa", "use_dora": True},
    "full": {"method": "full"},
    "full beside a frozen encoder": {"method": "full", "freeze_encoder": True},
    "partial": PARTS,
    "hybrid": {**PARTS, "with_lora": True, "r": 4},
    "wide": {"r": 4},
}
# what the method "wide" adapts, and trains in full beside it
WIDE: dict[str, dict[str, Any]] = {
    "ctc": {"target_modules": [*CONVOLUTIONS, "ctc_head"]},
    "rnnt": {"target_modules": [*CONVOLUTIONS, "head"], "modules_to_save": ["decoder.lstm"]},
    "tdt": {"target_modules": [*CONVOLUTIONS, "head"], "modules_to_save": ["decoder.lstm"]},
    "hybrid": {"target_modules": [*CONVOLUTIONS, "head", "aux_ctc_head"], "modules_to_save": ["decoder.lstm"]},
    "streaming": {"target_modules": [*CONVOLUTIONS, "head"], "modules_to_save": ["decoder.lstm"]},
    "prompted": {"target_modules": [*CONVOLUTIONS, "head", "linear_2"], "modules_to_save": ["decoder.lstm"]},
    "canary": {"target_modules": [*CONVOLUTIONS, "fc2"], "modules_to_save": ["decoder.norm"]},
}
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def configured(model: Path, speech: Path, out: Path, **options: Any) -> TrainConfig:
    given = {
        "base_model": str(model),
        "train": [str(speech)],
        "output_dir": str(out),
        "language": "en",
        "num_train_epochs": 1,
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-2,
        "precision": "fp32",
        "dataloader_num_workers": 0,
        **options,
    }
    family = family_of(str(model))
    assert family is not None
    return resolve_config(family, overrides=[override(name, value) for name, value in given.items()])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", MODELS)
def test_a_tuned_model_becomes_an_archive_that_answers_alike(
    kind: str, method: str, tiny_nemo: dict[str, Path], tiny_speech: Path, tmp_path: Path
) -> None:
    options = METHODS[method] | (WIDE[kind] if method == "wide" else {})
    run = train(configured(tiny_nemo[kind], tiny_speech, tmp_path / "run", **options))
    out = tmp_path / "tuned.nemo"
    written = export_one(run.path, to="nemo", out=out)
    assert written.largest_difference <= 1e-4
    tuned, base = (open_located(locate(str(path))) for path in (run.path, tiny_nemo[kind]))
    probe = tuned.probe_inputs()
    untuned, found = (logits(model.network, probe, dtype=torch.float32) for model in (base, tuned))
    assert (found - untuned).abs().max() > 1e-3
    before, after = read_archive(tiny_nemo[kind]).weights(), read_archive(out).weights()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    if method.startswith("full"):
        fixed = ("encoder.",) if "freeze_encoder" in options else ("preprocessor.",)
        assert not [name for name in moved if name.startswith(fixed)]
        assert moved
    else:
        assert not [name for name in moved if name.rpartition(".")[2] in STATISTICS]


class CtrlC(TrainerCallback):  # type: ignore[misc]
    """Presses Ctrl+C within a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, _: Any, state: Any, __: Any, **___: Any) -> None:
        if state.global_step == self.step:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("options", [{"r": 4}, {"method": "full"}], ids=["lora", "full"])
@pytest.mark.parametrize("kind", ["canary", "tdt"])
def test_ctrl_c_leaves_an_archive_which_the_rest_of_the_run_replaces(
    kind: str, options: dict[str, Any], tiny_nemo: dict[str, Path], tiny_speech: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tuned.nemo"
    config = configured(tiny_nemo[kind], tiny_speech, tmp_path / "run", export=str(out), **options)

    def press(_: Any) -> Iterable[TrainerCallback]:
        return [CtrlC(1)]

    with pytest.raises(Interrupted, match="stopped at step 2 of 3, and saved in"):
        train(config, watch=press)
    assert (tmp_path / "run" / "checkpoints" / "checkpoint-2").is_dir()
    halfway = read_archive(out).weights()
    assert train(config).steps == 3
    whole = read_archive(out).weights()
    assert any(not torch.equal(whole[name], value) for name, value in halfway.items())
    unbroken = tmp_path / "unbroken.nemo"
    train(configured(tiny_nemo[kind], tiny_speech, tmp_path / "other", export=str(unbroken), **options))
    expected = read_archive(unbroken).weights()
    if kind == "tdt" and torch.cuda.is_available():
        # there the transducer's gradients are sums in any order
        assert all((whole[name] - value).abs().double().mean() < 1e-3 for name, value in expected.items())
    else:
        assert all(torch.equal(whole[name], value) for name, value in expected.items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "run", "tuned.nemo", "unbroken.nemo"]


def test_an_archive_that_the_run_did_not_write_is_not_replaced(
    tiny_nemo: dict[str, Path], tiny_speech: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine.nemo"
    out.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"mine\.nemo is there already, and this run did not write it"):
        train(configured(tiny_nemo["ctc"], tiny_speech, tmp_path / "run", export=str(out)))
    assert out.read_bytes() == b"mine"


def test_rows_that_cannot_be_asked_for_are_named_before_decoding(
    tiny_nemo: dict[str, Path], tiny_speech: Path, tmp_path: Path
) -> None:
    audio = read_manifest([tiny_speech]).utterances[0].audio
    rows = [{"source_lang": "English", "target_lang": "en-US"}, {"source_lang": "sv", "target_lang": "sv"}]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps({"audio": str(audio), "text": "the oil", **row}) + "\n" for row in rows))
    with pytest.raises(
        InputError, match=r"rows\.jsonl:2: language 'sv' is not one the model has a token for; it has de"
    ):
        evaluate(str(tiny_nemo["canary"]), data=[data], out=tmp_path / "scores")
    assert not (tmp_path / "scores").exists()
    found = evaluate(str(tiny_nemo["canary"]), data=[data], out=tmp_path / "scores", skip_bad=True)
    assert [utterance.source for utterance in found.utterances] == [f"{data}:1"]
