"""Partial training, with and without adapters: what moves, what is written, and that every later verb reads it."""

import random
import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from eartune.cli import main
from eartune.errors import InputError
from eartune.families.whisper.load import find, load
from eartune.reporting import Reporter, Silent
from eartune.training.adaptation.adapter_files import ADAPTER_WEIGHTS
from eartune.training.trainer import SpeechTrainer
from eartune.verbs.evaluate import evaluate
from eartune.verbs.merge import merge
from eartune.verbs.open_model import locate, open_located
from eartune.verbs.train import TrainedRun, train
from tests import processes
from tests.verbs.test_evaluate_merge_transcribe import SHORT
from tests.verbs.test_train import command, configure, goes_on, losses

NORM = r".*layer_norm\.(weight|bias)"
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "encoder layers": ({"unfreeze_encoder_last": 1}, r"model\.encoder\.layers\.1\..*"),
    "decoder layers": ({"unfreeze_decoder_last": 2}, r"model\.decoder\.layers\.[01]\..*"),
    "head": ({"unfreeze_head": True}, r"proj_out\.weight|model\.decoder\.embed_tokens\.weight"),
    "norms": ({"train_norms": True}, NORM),
    "norms outside a frozen encoder": ({"train_norms": True, "freeze_encoder": True}, r"model\.decoder\." + NORM),
    "biases": ({"train_bias": True}, r".*\.bias"),
    "all together": (
        {"unfreeze_encoder_last": 1, "unfreeze_decoder_last": 1, "train_norms": True},
        rf"model\.(en|de)coder\.layers\.1\..*|{NORM}",
    ),
}
HYBRIDS: dict[str, dict[str, Any]] = {
    "layers": {"unfreeze_encoder_last": 1, "unfreeze_decoder_last": 1},
    "norms and biases": {"train_norms": True, "train_bias": True},
    "everything": {"unfreeze_decoder_last": 1, "unfreeze_head": True, "train_norms": True, "train_bias": True},
    "pissa, dora": {"unfreeze_decoder_last": 1, "train_norms": True, "init_lora_weights": "pissa", "use_dora": True},
    "bf16": {"unfreeze_decoder_last": 1, "train_norms": True, "precision": "bf16"},
}


class Lines(Silent):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def line(self, text: str) -> None:
        self.said.append(text)


def trained_network(config: Any, reporter: Reporter | None = None) -> tuple[TrainedRun, torch.nn.Module]:
    kept: list[SpeechTrainer] = []
    run = train(config, reporter=reporter, watch=lambda trainer: kept.append(trainer) or [])  # type: ignore[func-returns-value]
    return run, kept[0].loss.network.eval()


def base_weights(model: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = load(find(str(model))).network.state_dict()
    return state


@torch.no_grad()
def answers(network: torch.nn.Module, model: Path) -> torch.Tensor:
    probe = load(find(str(model)), language="en").probe_inputs()
    logits: torch.Tensor = network.float().eval()(**probe).logits
    return logits


@pytest.mark.parametrize("case", CASES)
def test_what_is_unfrozen_moves_and_every_other_bit_stays(
    case: str, tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    options, expected = CASES[case]
    run, network = trained_network(
        configure(tiny_model, tiny_speech, tmp_path / "run", learning_rate=1e-2, max_steps=3, **options)
    )
    before, after = base_weights(tiny_model), network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if re.fullmatch(expected, name)}
    written = load_file(run.path / "last" / "model.safetensors")
    assert all(torch.equal(after[name], value) for name, value in written.items())


@pytest.mark.parametrize("case", HYBRIDS)
def test_adapters_and_what_is_trained_in_full_come_back_from_one_folder(
    case: str, tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    """Read by this package, by PEFT alone, and merged: always the answers of the network that was trained."""
    options = {"with_lora": True, "r": 4, "learning_rate": 1e-2, "max_steps": 3, **HYBRIDS[case]}
    run, network = trained_network(configure(tiny_model, tiny_speech, tmp_path / "run", **options))
    # matrices kept in bf16 stand for those of the base model, which is what is saved and merged
    exact = case != "bf16"
    expected = answers(network, tiny_model)
    opened = answers(open_located(locate(str(run.path), checkpoint="last")).network, tiny_model)
    assert (opened - answers(load(find(str(tiny_model))).network, tiny_model)).abs().max() > 1e-2
    torch.testing.assert_close(opened, expected, atol=1e-4 if exact else 0.1, rtol=0)
    by_peft = PeftModel.from_pretrained(load(find(str(tiny_model))).network, run.path / "last")
    torch.testing.assert_close(answers(by_peft, tiny_model), opened, atol=0, rtol=0)
    merged = merge(str(run.path), checkpoint="last", out=tmp_path / "merged")
    assert merged.largest_difference <= 1e-4
    plain = load(find(str(tmp_path / "merged"))).network
    torch.testing.assert_close(answers(plain, tiny_model), opened, atol=1e-4, rtol=0)
    assert plain.proj_out.weight is plain.model.decoder.embed_tokens.weight


def test_beside_adapters_exactly_the_right_weights_move(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    options = {"with_lora": True, "unfreeze_decoder_last": 1, "train_norms": True, "target_modules": ["q_proj", "fc1"]}
    run, network = trained_network(
        configure(tiny_model, tiny_speech, tmp_path / "run", learning_rate=1e-2, max_steps=3, **options)
    )
    before = base_weights(tiny_model)
    found = {n.removeprefix("base_model.model.").replace(".base_layer", ""): v for n, v in network.state_dict().items()}
    moved = {name for name in before if not torch.equal(before[name], found[name])}
    assert moved == {name for name in before if re.fullmatch(rf"model\.decoder\.layers\.1\..*|{NORM}", name)}
    adapted = {name.partition(".lora_A")[0] for name in found if ".lora_A." in name}
    places = [f"{b}.layers.{i}" for b, i in (("model.encoder", 0), ("model.encoder", 1), ("model.decoder", 0))]
    ends = ["self_attn.q_proj", "fc1"]
    assert adapted == {f"{p}.{e}" for p in places for e in ends} | {"model.decoder.layers.0.encoder_attn.q_proj"}
    merge(str(run.path), checkpoint="last", out=tmp_path / "merged")
    after = load_file(tmp_path / "merged" / "model.safetensors")
    changed = {name for name, value in after.items() if not torch.equal(before[name], value)}
    assert changed == moved | {f"{name}.weight" for name in adapted}


@pytest.mark.parametrize("options", [{}, {"with_lora": True, "r": 4}], ids=["partial", "hybrid"])
def test_a_few_clips_are_learnt_and_best_is_evaluated(
    options: dict[str, Any], tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    given = {"unfreeze_decoder_last": 2, "unfreeze_head": True, "learning_rate": 1e-2, "num_train_epochs": 20}
    given |= {"window": "short", "eval_steps": 60, "eval_on_start": True, "metric_for_best_model": "loss", "lang": "en"}
    run = train(configure(tiny_model, tiny_speech, tmp_path / "run", **given, **options))
    first, last = (entry["eval_loss"] for entry in run.validations)
    assert last < 0.2 * first
    assert (run.path / "best").is_dir()
    found = evaluate(str(run.path), data=[tiny_speech], out=tmp_path / "out", options=SHORT)
    assert found.base is not None
    assert found.tuned.hypotheses != found.base.hypotheses
    clip = tiny_speech.parent / "audio" / "0.wav"
    assert main(["transcribe", str(run.path), str(clip), "--out", str(tmp_path / "texts")]) == 0


def test_a_weight_that_is_missing_from_the_folder_is_refused(
    tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    options = {"with_lora": True, "unfreeze_decoder_last": 1, "max_steps": 1}
    run = train(configure(tiny_model, tiny_speech, tmp_path / "run", **options))
    path = run.path / "last" / ADAPTER_WEIGHTS
    weights = load_file(path)
    weights.pop("base_model.model.model.decoder.layers.1.fc1.weight")
    save_file(weights, path)
    with pytest.raises(InputError, match=r"does not fit its base model.*decoder\.layers\.1\.fc1\.weight"):
        open_located(locate(str(run.path), checkpoint="last"))


def test_a_killed_hybrid_run_ends_in_the_weights_of_an_unbroken_one(
    tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    """PiSSA and DoRA, layer-wise rates and weight decay beside it, so that all of an optimiser's groups come back."""
    options = ["--unfreeze_decoder_last", "1", "--unfreeze_head", "--train_norms", "--train_bias", "--with_lora"]
    options += ["--lora_r", "4", "--lora-init", "pissa", "--use-dora", "--layerwise-lr-decay", "0.8"]
    options += ["--weight-decay", "0.1", "--save-steps", "1", "--window", "short"]
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    log = tmp_path / "log"
    processes.run(command(tiny_model, tiny_speech, unbroken, *options), log)
    chance = random.Random(2)
    for kill in range(2):
        process = processes.Command(command(tiny_model, tiny_speech, broken, *options), log)
        process.wait_for(lambda kill=kill: len(list(broken.glob("checkpoints/checkpoint-*"))) > kill)  # type: ignore[misc]
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
    assert goes_on(processes.run(command(tiny_model, tiny_speech, broken, *options), log))
    assert losses(broken) == losses(unbroken)
    ours, theirs = (load_file(run / "last" / ADAPTER_WEIGHTS) for run in (broken, unbroken))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_what_is_trained_is_counted_and_listed(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    said = Lines()
    options = {"with_lora": True, "r": 4, "unfreeze_head": True, "train_norms": True, "debug_linear": 2}
    options |= {"max_steps": 1, "layerwise_lr_decay": 0.5}
    train(configure(tiny_model, tiny_speech, tmp_path / "run", **options), reporter=said)
    assert "unfreeze_head: proj_out shares its weights with model.decoder.embed_tokens: both are trained" in said.said
    # three norms in a decoder layer, two in one of the encoder, and one after each stack
    assert f"norms: {12 * 64} of {12 * 64} parameters trained" in said.said
    assert "adapter on model.encoder.layers.0.self_attn.k_proj 32x32, rank 4" in said.said
    assert "in full model.encoder.layers.0.self_attn_layer_norm.weight 32" in said.said
    assert sum(line.startswith("adapter on") for line in said.said) == 2
    assert sum(line.startswith("in full") for line in said.said) == 2
    # from the head over two decoder layers to the first of the encoder
    assert (
        "layerwise_lr_decay 0.5: learning rate 0.0001 in the highest layer trained, 1.25e-05 in the lowest, "
        "3 layers below" in said.said
    )


def test_a_target_that_is_trained_in_full_gets_no_adapter_and_this_is_said(
    tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    said = Lines()
    options = {"with_lora": True, "unfreeze_decoder_last": 1, "max_steps": 1}
    train(configure(tiny_model, tiny_speech, tmp_path / "run", **options), reporter=said)
    assert "no adapter in 10 of the target modules: they are trained in full" in said.said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unfreeze_encoder_last": 3}, "unfreeze_encoder_last: found 3, but the model has 2 layers; set at most 2"),
        (
            {"with_lora": True, "unfreeze_encoder_last": 2, "unfreeze_decoder_last": 2},
            "target_modules: nothing is left to adapt",
        ),
        (
            {"with_lora": True, "unfreeze_decoder_last": 1, "modules_to_save": ["decoder.layers.1.fc1"]},
            "modules_to_save: 'decoder.layers.1.fc1' is model.decoder.layers.1.fc1, which is trained in full already",
        ),
    ],
)
def test_what_does_not_fit_the_network_is_refused(
    options: dict[str, Any], message: str, tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        train(configure(tiny_model, tiny_speech, tmp_path / "run", **options))
    assert not (tmp_path / "run").exists()


def test_states_of_an_encoder_in_which_nothing_is_trained_are_kept(
    tiny_model: Path, tiny_speech: Path, tmp_path: Path
) -> None:
    options = {"unfreeze_decoder_last": 1, "num_train_epochs": 2, "learning_rate": 1e-3, "window": "short"}
    options |= {"short_full": 0.0, "val": []}
    plain, cached = (
        train(configure(tiny_model, tiny_speech, tmp_path / str(cache), cache_encoder=cache, **options))
        for cache in (False, "memory")
    )
    ours, theirs = (load_file(run.path / "last" / "model.safetensors") for run in (cached, plain))
    base, name = base_weights(tiny_model), "model.decoder.layers.1.fc1.weight"
    # states are kept in bf16, and AdamW's first steps go as far for small gradients as for large ones
    assert (ours[name] - theirs[name]).norm() < 0.5 * (theirs[name] - base[name]).norm()
