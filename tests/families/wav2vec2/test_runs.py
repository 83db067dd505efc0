"""CTC encoders through the commands: trained in every way, resumed, evaluated, merged, exported, transcribed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from eartune.cli.main import main
from eartune.errors import InputError
from eartune.families.wav2vec2.language_adapters import adapter_weights
from eartune.families.wav2vec2.model import Wav2Vec2Model
from eartune.verbs.evaluate import evaluate
from eartune.verbs.merge import merge
from eartune.verbs.open_model import locate, open_located, original_base
from eartune.verbs.train import TrainedRun, train
from eartune.verbs.transcribe import transcribe
from tests.families.wav2vec2.conftest import load
from tests.verbs.test_train import configure

FAST = {"family": "wav2vec2", "learning_rate": 1e-2, "num_train_epochs": 1, "language": "en"}


def trained(folder: Path, speech: Path, out: Path, **options: Any) -> TrainedRun:
    return train(configure(folder, speech, out, **FAST | options))


def opened(path: Path) -> Wav2Vec2Model:
    model = open_located(locate(str(path)))
    assert isinstance(model, Wav2Vec2Model)
    return model


def moved(run: Path, base: Path, **options: Any) -> set[str]:
    """Return the weights of a run's model that differ from those of its base model."""
    before = load(base, **options).network.state_dict()
    after = opened(run).network.state_dict()
    return {name for name, value in after.items() if name not in before or not torch.equal(value, before[name])}


@pytest.fixture(scope="module")
def new_run(tiny_wav2vec2: dict[str, Path], tiny_speech: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """LoRA on a base model without a vocabulary."""
    out = tmp_path_factory.mktemp("runs") / "new"
    return trained(tiny_wav2vec2["pretrained"], tiny_speech, out, new_vocabulary=True)


def test_a_new_vocabulary_is_that_of_the_texts(new_run: TrainedRun, tiny_speech: Path) -> None:
    texts = [json.loads(line)["text"] for line in tiny_speech.read_text().splitlines()]
    model = opened(new_run.path)
    assert model.labeler.characters == {character for text in texts for character in text if character != " "}
    assert isinstance(model.network, PeftModel)
    origin = json.loads((new_run.path / "best" / "origin.json").read_text())
    assert origin["new_vocabulary"] is True
    assert set(origin["added_characters"]) == model.labeler.characters


def test_every_command_takes_a_run_with_a_new_vocabulary(
    new_run: TrainedRun, tiny_speech: Path, tmp_path: Path
) -> None:
    recordings = sorted((tiny_speech.parent / "audio").glob("*.wav"))
    result = evaluate(str(new_run.path), data=[tiny_speech], out=tmp_path / "scores")
    # the base model has no words to compare with
    assert result.base is None
    assert original_base(locate(str(new_run.path))) is None
    merge(str(new_run.path), out=tmp_path / "merged")
    assert original_base(locate(str(tmp_path / "merged"))) is None
    expected = [found.text for found in transcribe(str(new_run.path), recordings)]
    assert [found.text for found in transcribe(str(tmp_path / "merged"), recordings)] == expected


def test_a_run_with_a_new_vocabulary_is_finished_once(
    new_run: TrainedRun, tiny_wav2vec2: dict[str, Path], tiny_speech: Path
) -> None:
    again = trained(tiny_wav2vec2["pretrained"], tiny_speech, new_run.path, new_vocabulary=True)
    assert again.steps == new_run.steps
    with pytest.raises(InputError, match="new_vocabulary"):
        trained(tiny_wav2vec2["layer"], tiny_speech, new_run.path, new_vocabulary=False)


def test_language_adapters_are_tuned_alone(tiny_wav2vec2: dict[str, Path], tiny_speech: Path, tmp_path: Path) -> None:
    base = tiny_wav2vec2["mms"]
    run = trained(base, tiny_speech, tmp_path / "run", unfreeze_language_adapters=True)
    found = moved(run.path, base, language="en")
    assert found
    assert found <= set(adapter_weights(opened(run.path).network))
    assert any("adapter_layer" in name for name in found)
    assert any(name.startswith("lm_head") for name in found)
    written = load_file(run.path / "best" / "adapter.eng.safetensors")
    assert all(torch.equal(written[name], value) for name, value in adapter_weights(opened(run.path).network).items())


def test_the_saved_configuration_says_how_it_was_trained(
    tiny_wav2vec2: dict[str, Path], tiny_speech: Path, tmp_path: Path
) -> None:
    options = {"method": "full", "mask_time_prob": 0.2, "mask_feature_prob": 0.1, "mask_feature_length": 4}
    run = trained(tiny_wav2vec2["layer"], tiny_speech, tmp_path / "run", **options)
    config = json.loads((run.path / "best" / "config.json").read_text())
    assert {name: config[name] for name in ("mask_time_prob", "mask_feature_prob", "mask_feature_length")} == {
        name: options[name] for name in ("mask_time_prob", "mask_feature_prob", "mask_feature_length")
    }
    assert (config["ctc_zero_infinity"], config["layerdrop"], config["architectures"]) == (
        True, 0.0, ["Wav2Vec2ForCTC"],
    )  # fmt: skip


def test_adapters_on_a_language_with_another_vocabulary(
    tiny_wav2vec2: dict[str, Path], tiny_speech: Path, tmp_path: Path
) -> None:
    """LoRA beside the adapter of a language whose head has other rows than the published configuration."""
    rows = [json.loads(line) for line in tiny_speech.read_text().splitlines()]
    speech = tmp_path / "speech.jsonl"
    speech.write_text(
        "".join(
            json.dumps(row | {"lang": "de", "audio_filepath": str(tiny_speech.parent / row["audio_filepath"])}) + "\n"
            for row in rows
        )
    )
    run = trained(tiny_wav2vec2["mms"], speech, tmp_path / "run", language="de", r=4)
    recordings = sorted((tiny_speech.parent / "audio").glob("*.wav"))
    merge(str(run.path), out=tmp_path / "merged")
    expected = [found.text for found in transcribe(str(run.path), recordings)]
    assert [found.text for found in transcribe(str(tmp_path / "merged"), recordings)] == expected
    assert opened(tmp_path / "merged").adapter_name == "deu"


def test_texts_without_letters_make_no_vocabulary(
    tiny_wav2vec2: dict[str, Path], tiny_speech: Path, tmp_path: Path
) -> None:
    row = json.loads(tiny_speech.read_text().splitlines()[0])
    speech = tmp_path / "speech.jsonl"
    row |= {"text": "...", "audio_filepath": str(tiny_speech.parent / row["audio_filepath"])}
    speech.write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match="new_vocabulary: the training texts have no letters or digits"):
        trained(tiny_wav2vec2["pretrained"], speech, tmp_path / "run", new_vocabulary=True)
    assert not (tmp_path / "run").exists()


def test_other_models_have_no_language_adapters(
    tiny_wav2vec2: dict[str, Path], tiny_speech: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="unfreeze_language_adapters: the model has none: remove it"):
        trained(tiny_wav2vec2["layer"], tiny_speech, tmp_path / "run", unfreeze_language_adapters=True)


@pytest.mark.parametrize("frozen", [True, False])
def test_the_feature_encoder_is_frozen_unless_told(
    tiny_wav2vec2: dict[str, Path], tiny_speech: Path, tmp_path: Path, frozen: bool
) -> None:
    base = tiny_wav2vec2["layer"]
    run = trained(base, tiny_speech, tmp_path / "run", method="full", freeze_feature_encoder=frozen)
    found = moved(run.path, base)
    convolutions = {name for name in found if name.startswith("wav2vec2.feature_extractor.")}
    assert bool(convolutions) is not frozen
    assert {"lm_head.weight", "wav2vec2.encoder.layers.0.attention.q_proj.weight"} <= found


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("group", {"r": 4}),
        ("bert", {"r": 4, "extend_vocabulary": True, "use_dora": True}),
        ("hubert", {"unfreeze_encoder_last": 1, "unfreeze_head": True, "with_lora": True}),
        ("layer", {"method": "full", "gradient_checkpointing": True, "batch_seconds": "auto"}),
        pytest.param("layer", {"precision": "bf16", "freeze_encoder": True, "method": "full"}, id="bf16"),
    ],
)
def test_each_method_gives_a_whole_model_with_the_same_texts(
    tiny_wav2vec2: dict[str, Path], tiny_speech: Path, tmp_path: Path, kind: str, options: dict[str, Any]
) -> None:
    run = trained(tiny_wav2vec2[kind], tiny_speech, tmp_path / "run", **options)
    recordings = sorted((tiny_speech.parent / "audio").glob("*.wav"))
    whole = run.path / "best"
    if (whole / "adapter_config.json").is_file():
        whole = tmp_path / "merged"
        merge(str(run.path), out=whole)
    found = [each.text for each in transcribe(str(run.path), recordings)]
    assert [each.text for each in transcribe(str(whole), recordings)] == found


def test_training_learns_its_texts(tiny_wav2vec2: dict[str, Path], tiny_speech: Path, tmp_path: Path) -> None:
    """From random weights to the words of six clips."""
    run = trained(
        tiny_wav2vec2["bert"],
        tiny_speech,
        tmp_path / "run",
        method="full",
        num_train_epochs=60,
        eval_strategy="no",
        spec_augment=False,
        learning_rate=5e-3,
        lr_scheduler_type="constant",
    )
    result = evaluate(str(run.path), data=[tiny_speech], out=tmp_path / "scores", against_base=False)
    assert result.tuned.scores.chars.rate < 0.2


def test_words_have_times_in_json(new_run: TrainedRun, tiny_speech: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tiny_speech.parent / "audio" / "5.wav"
    assert main(["transcribe", str(new_run.path), str(clip), "--timestamps", "--format", "json"]) == 0
    transcript = json.loads(capsys.readouterr().out)
    words = [word for segment in transcript["segments"] for word in segment.get("words", [])]
    assert " ".join(word["text"] for word in words) == transcript["text"]
    times = [time for word in words for time in (word["start"], word["end"])]
    assert times == sorted(times)
    assert all(0 <= time <= transcript["duration"] for time in times)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "translate"}, "task: Wav2Vec2 cannot translate, only transcribe"),
        ({"window": "packed"}, "window: is for models with a fixed window"),
        ({"cache_encoder": True}, "cache_encoder: is for models with a fixed window"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor: applies to cross-entropy"),
        ({"generation_num_beams": 2}, "generation_num_beams: Wav2Vec2 is decoded greedily"),
        ({"language_token": "ru"}, "language_token: is for models with language tokens"),
        ({"export": "model.nemo"}, "a Wav2Vec2 model is written as a folder"),
    ],
)
def test_what_does_not_apply_is_refused(
    tiny_wav2vec2: dict[str, Path], tiny_speech: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        trained(tiny_wav2vec2["layer"], tiny_speech, tmp_path / "run", **options)


@pytest.mark.parametrize("family", ["whisper", "canary", "parakeet"])
@pytest.mark.parametrize("options", [{"new_vocabulary": True}, {"freeze_feature_encoder": False}], ids=str)
def test_other_families_refuse_its_options(family: str, options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        configure(tmp_path / "model", tmp_path / "speech.jsonl", tmp_path / "run", family=family, **options)
