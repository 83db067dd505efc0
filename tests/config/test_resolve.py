"""Configuration: who wins, what is refused, what is said; the seeds' own files."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import Seq2SeqTrainingArguments

from eartune.config import TrainConfig, resolve_config
from eartune.config.presets import PRESETS, preset_values
from eartune.config.refused import REFUSED, TRAINER_ARGUMENTS, refusal
from eartune.config.resolve import override
from eartune.config.train_config import BY_NAME, OPTIONS, SECTIONS
from eartune.errors import InputError

REQUIRED = {"train": ["train.jsonl"], "base_model": "openai/whisper-small"}


def resolve(tmp_path: Path, text: str = "", *, name: str = "c.yaml", **command_line: Any) -> TrainConfig:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    given = REQUIRED | command_line
    return resolve_config(files=[path], overrides=[override(name, value) for name, value in given.items()])


def test_every_name_means_one_option() -> None:
    names = [name for option in OPTIONS for name in option.names]
    assert len(names) == len(set(names))
    assert not set(names) & set(REFUSED)
    assert not set(names) & TRAINER_ARGUMENTS


def test_every_argument_of_transformers_trainer_is_taken_or_refused_by_name() -> None:
    known = set(Seq2SeqTrainingArguments.__dataclass_fields__)
    unheard_of = {name for name in known if name not in BY_NAME and refusal(name) is None}
    assert not {name for name in unheard_of if not name.startswith("_")}


def test_every_option_has_help_and_a_default_that_is_valid(tmp_path: Path) -> None:
    assert all(option.help for option in OPTIONS)
    resolve(tmp_path)


def test_command_line_wins_over_file_over_preset_over_default(tmp_path: Path) -> None:
    text = "preset: 4070ti\ngradient_accumulation_steps: 3\nlr: 1e-4\n"
    config = resolve(tmp_path, text, learning_rate="2e-4")
    assert config.optimizer.learning_rate == 2e-4
    assert config.optimizer.gradient_accumulation_steps == 3
    assert config.optimizer.per_device_train_batch_size == PRESETS["4070ti"]["per_device_train_batch_size"]
    assert config.optimizer.weight_decay == 0.0
    came_from = config.provenance
    assert came_from["learning_rate"] == "command line"
    assert came_from["gradient_accumulation_steps"] == f"{tmp_path}/c.yaml:2"
    assert came_from["per_device_train_batch_size"] == "preset 4070ti"
    assert came_from["weight_decay"] == "default"


def test_an_explicit_value_that_equals_the_default_still_wins_over_a_preset(tmp_path: Path) -> None:
    config = resolve(tmp_path, "preset: a6000-max\n", lora_r="16", bs="8")
    assert config.adapter.r == 16
    assert config.optimizer.per_device_train_batch_size == 8


def test_a_later_file_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.json"
    first.write_text("epochs: 1\nr: 4\n")
    second.write_text('{"num_train_epochs": 2}')
    config = resolve_config(files=[first, second], complete=False)
    assert (config.optimizer.num_train_epochs, config.adapter.r) == (2, 4)


def test_provenance_names_the_alias_that_was_used(tmp_path: Path) -> None:
    assert (
        resolve(tmp_path, "per_dev_batch: 2\n")
        .provenance["per_device_train_batch_size"]
        .endswith("c.yaml:1 (as per_dev_batch)")
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("learning_rte: 1\n", "c.yaml:1: learning_rte: no such key. Did you mean learning_rate"),
        ("\n\nlr: fast\n", "c.yaml:3: lr: found 'fast'; expected number"),
        ("epochs: -1\n", "c.yaml:1: epochs: found -1; it should be greater than 0"),
        ("lora_dropout: 1.5\n", "lora_dropout: found 1.5; it should be less than 1"),
        ("sched: cosin\n", "found 'cosin'; expected one of linear, cosine,"),
        ("sched: cosin\n", "Did you mean cosine?"),
        ("target_modules: 3\n", "target_modules: found 3; expected list of text"),
        ("rank_pattern: [1]\n", "rank_pattern: found [1]; expected mapping"),
        ("bf16: maybe\n", "bf16: found 'maybe'; expected true/false"),
        ("fp16: true\nbf16: true\n", "bf16 and fp16 are both true"),
        ("warmup_steps: 5\nwarmup_ratio: 0.1\n", "warmup_steps and warmup_ratio are both set"),
        ("min_lr: 1e-6\nsched: none\n", "min_lr: the learning rate never falls with lr_scheduler_type constant"),
        ("min_lr: 1e-4\nlr: 1e-4\n", "min_lr: 0.0001 is not below learning_rate, 0.0001: a tenth of it is usual"),
        ("export: model.nemo\n", "export: model.nemo: a Whisper model is written as a folder, not as a .nemo file"),
        ("resume: last.ckpt\n", "resume: an interrupted run resumes from its newest checkpoint"),
        ("resume_from_checkpoint: true\n", "when the same command is run again with the same output_dir: remove"),
        ("monitor: val_loss\n", "monitor: set `metric_for_best_model: loss` (for val_loss)"),
        ("lr: 1\nlearning_rate: 2\n", "learning_rate and lr (%s/c.yaml:1) are the same option with different values"),
        ("lr: 1\nlr: 2\n", "c.yaml:2: lr is set twice in c.yaml, first at %s/c.yaml:1"),
        ("method: full\nlora_r: 4\n", "r is an adapter option and method is full"),
        ("method: full\nmerge_lora: true\n", "there is no adapter to merge"),
        ("method: partial\n", "nothing is unfrozen: set unfreeze_encoder_last, unfreeze_decoder_last,"),
        ("with_lora: true\n", "method partial: nothing is unfrozen"),
        ("method: full\nunfreeze_head: true\n", "unfreeze_head: is used with method partial, and method is full"),
        ("method: lora\ntrain_norms: true\n", "train_norms: is used with method partial, and method is lora"),
        ("train_norms: true\nlora_r: 4\n", "r is an adapter option and method is partial: remove it, or set with_lora"),
        ("train_norms: true\nmerge_lora: true\n", "there is no adapter to merge with method partial"),
        ("unfreeze_encoder_last: -1\n", "unfreeze_encoder_last: found -1; it should be greater than or equal to 0"),
        ("freeze_encoder: true\nunfreeze_encoder_last: 1\n", "freeze_encoder and unfreeze_encoder_last contradict"),
        ("with_lora: true\ntrain_bias: true\nbias: lora_only\n", "train_bias trains all biases, and bias is lora_only"),
        ("cache_encoder: true\nunfreeze_encoder_last: 1\n", "cache_encoder: unfreeze_encoder_last trains the encoder"),
        ("cache_encoder: true\ntrain_norms: true\n", "cache_encoder: the encoder is trained, so it changes"),
        ("layerwise_lr_decay: 1.5\n", "layerwise_lr_decay: found 1.5; it should be less than or equal to 1"),
        ("method: full\nbase_weights: fp32\n", "base_weights: is for the frozen weights under an adapter"),
        ("early_stop: true\n", "early_stop: needs validation data: set val"),
        ("val: v.jsonl\neval_strategy: steps\n", "eval_strategy: steps needs eval_steps"),
        ("val: v.jsonl\npredict_with_generate: false\n", "metric_for_best_model: wer needs decoding"),
        ("greater_is_better: true\n", "lower is better for wer, cer and loss"),
        ("preset: 4O90\n", "preset: '4O90' is not one of"),
        ("report_to: [tensorbord]\n", "report_to: 'tensorbord' is not one of"),
        ("fsdp: full_shard\n", "fsdp: an argument of transformers' Trainer that eartune does not use"),
        ("dataset_name: mozilla-foundation/common_voice_11_0\n", "eartune prepare"),
        ("- a\n- b\n", "holds no `key: value` pairs"),
        ("preset: [mps]\n", "preset: ['mps'] is not one of"),
        ("lr: [1\n", "is not valid YAML"),
        ("lr:\t1\n", "is not valid YAML"),
    ],
)
def test_what_is_wrong_is_said_with_file_line_key_and_value(text: str, found: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        resolve(tmp_path, text)
    assert (found % tmp_path if "%s" in found else found) in str(refused.value)


def test_all_errors_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        resolve(tmp_path, "lr: fast\nepoch: 3\nbs: zero\n", r="many")
    message = str(refused.value)
    assert all(
        name in message for name in ("lr: found 'fast'", "epoch: no such key", "bs: found 'zero'", "found 'many'")
    )


def test_a_token_is_refused_and_never_repeated(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        resolve(tmp_path, "hf_token: hf_veryverysecret\n", hub_token="hf_alsosecret")
    assert "HF_TOKEN" in str(refused.value)
    assert "secret" not in str(refused.value).replace("secrets do not belong", "")


def test_norwegian_is_a_language_and_not_false(tmp_path: Path) -> None:
    assert resolve(tmp_path, "language: no\n").data.language == "no"


@pytest.mark.parametrize("text", ["lr: 1e-5\n", "lr: 1.0e-5\n", "lr: 0.00001\n", 'lr: "1e-5"\n'])
def test_numbers_as_people_write_them(text: str, tmp_path: Path) -> None:
    assert resolve(tmp_path, text).optimizer.learning_rate == 1e-5


@pytest.mark.parametrize("word", ["true", "True", "yes", "on", "1"])
def test_truth_as_people_write_it(word: str, tmp_path: Path) -> None:
    assert resolve(tmp_path, f"skip_bad: {word}\n").data.skip_bad is True


def test_one_value_stands_for_a_list_of_one(tmp_path: Path) -> None:
    assert resolve(tmp_path, "val: v.jsonl\n").data.val == (Path("v.jsonl"),)


def test_json_files_have_line_numbers_and_duplicates_too(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"c\.json:3: lrr: no such key\. Did you mean lr"):
        resolve(tmp_path, '{\n\t"epochs": 1,\n\t"lrr": 1\n}', name="c.json")
    with pytest.raises(InputError, match="lr is set twice"):
        resolve(tmp_path, '{"lr": 1, "lr": 2}', name="c.json")
    with pytest.raises(InputError, match=r"c\.json:1:8: is not valid JSON"):
        resolve(tmp_path, '{"lr": }', name="c.json")


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ('{\n"lr": 1,\n"train": "\\ud800.jsonl"}', "c.json", r"c\.json:3: .* holds half of a character"),
        ('{\n"\\udfff": 1}', "c.json", r"c\.json:2: .* holds half of a character"),
        ('lr: 1\ntrain: "\\ud800"', "c.yaml", r"c\.yaml:2:\d+: is not valid YAML"),
    ],
)
def test_half_of_a_character_in_a_file_is_an_error_with_its_line(
    text: str, name: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        resolve(tmp_path, text, name=name)


@pytest.mark.parametrize("value", ["a\udcff", ["a", "\udcff"], Path("a\udcff")], ids=["text", "list", "path"])
def test_half_of_a_character_on_the_command_line_is_an_error_by_option(value: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"command line: train: .* holds half of a character"):
        resolve(tmp_path, train=value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("language: ru # русский".encode("cp1251"))
    cases = {
        tmp_path / "no.yaml": "no such file; name a configuration file",
        tmp_path: "is a folder",
        tmp_path / "latin.yaml": "UTF-8",
    }
    for name, message in cases.items():
        with pytest.raises(InputError, match=message):
            resolve_config(files=[tmp_path / name])


def test_required_options_are_asked_for_together() -> None:
    with pytest.raises(InputError) as refused:
        resolve_config()
    assert "train: no training manifest" in str(refused.value)
    assert "base_model: no model" in str(refused.value)


def test_defaults_that_depend_on_others(tmp_path: Path) -> None:
    assert resolve(tmp_path).optimizer.learning_rate == 5e-4
    full = resolve(tmp_path, "method: full\n")
    assert full.optimizer.learning_rate == 1e-5
    assert full.provenance["learning_rate"] == "default for full"
    assert resolve(tmp_path).validation.eval_strategy == "no"
    assert resolve(tmp_path, "val: v.jsonl\n").validation.eval_strategy == "epoch"
    steps = resolve(tmp_path, "val: v.jsonl\neval_steps: 7\n")
    assert (steps.validation.eval_strategy, steps.run.save_strategy, steps.run.save_steps) == ("steps", "steps", 7)
    assert resolve(tmp_path, "es_patience: 2\nval: v.jsonl\n").validation.early_stop is True
    assert str(resolve(tmp_path, "lang: ru\n").run.output_dir) == str(Path("runs/whisper-small-ru-lora"))


def test_an_option_of_partial_training_means_the_method(tmp_path: Path) -> None:
    partial = resolve(tmp_path, "unfreeze_decoder_last: 2\nfreeze_encoder: true\ncache_encoder: true\n")
    assert (partial.model.method, partial.has_adapter()) == ("partial", False)
    assert partial.provenance["method"] == "default, as unfreeze_decoder_last is set"
    assert partial.optimizer.learning_rate == 1e-5
    assert str(partial.run.run_name) == "whisper-small-partial"
    hybrid = resolve(tmp_path, "train_norms: true\nwith_lora: true\nr: 4\n")
    assert hybrid.has_adapter()
    assert (hybrid.optimizer.learning_rate, hybrid.run.run_name) == (1e-4, "whisper-small-partial-lora")


def test_short_forms(tmp_path: Path) -> None:
    assert resolve(tmp_path, "fp16: true\n").optimizer.precision == "fp16"
    assert resolve(tmp_path, "bf16: false\n").optimizer.precision == "fp32"
    assert resolve(tmp_path, "sched: none\n").optimizer.lr_scheduler_type == "constant"
    assert resolve(tmp_path, "log: tb\n").run.report_to == ("tensorboard",)
    assert resolve(tmp_path, "dora_ephemeral_offload: true\n").adapter.runtime_config == {"ephemeral_gpu_offload": True}
    assert resolve(tmp_path, "fused_optim: false\n").optimizer.optim == "adamw_torch"
    for word, precision in {"bf16-mixed": "bf16", "16-mixed": "fp16", "32": "fp32"}.items():
        assert resolve(tmp_path, f"precision: {word}\n").optimizer.precision == precision


@pytest.mark.parametrize("family", ["whisper", "canary", "parakeet"])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_holds_valid_values_for_every_family(preset: str, family: str) -> None:
    values = preset_values(preset, family)
    for name, section in SECTIONS.items():
        section.model_validate({key: value for key, value in values.items() if BY_NAME[key].section == name})


@pytest.mark.parametrize("family", ["canary", "parakeet"])
@pytest.mark.parametrize(
    ("preset", "figures"),
    [
        ("4070ti", {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 8, "precision": "bf16"}),
        ("a6000-fast", {"per_device_train_batch_size": 8, "r": 16, "lora_alpha": 32, "lora_dropout": 0.05}),
        ("a6000-max", {"per_device_train_batch_size": 12, "r": 16, "lora_alpha": 32, "mem_report_steps": 50}),
    ],
)
def test_presets_of_canary_and_parakeet_have_the_figures_of_their_runbook(
    preset: str, figures: dict[str, Any], family: str
) -> None:
    values = preset_values(preset, family)
    assert {name: values[name] for name in figures} == figures
    assert values["precision"] == "bf16"
    # a default of the platform: a preset that named workers would overrule none on Windows
    assert ("dataloader_num_workers" in values) == preset.startswith("a6000")


SEED_002 = {
    "base_model": "openai/whisper-medium.en", "train_csv": "train.csv", "val_csv": "val.csv",
    "outdir": "./whisper-medium-x", "language": "en", "seed": 13, "epochs": 3, "lr": 5e-5, "warmup_ratio": 0.08,
    "per_dev_batch": 2, "grad_accum": 4, "logging_steps": 50, "save_steps": 10, "eval_steps": 500, "fp16": True,
    "bf16": False, "freeze_encoder": False, "lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.05,
    "lora_target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2"], "modules_to_save": None,
    "use_dora": True, "dora_ephemeral_offload": True, "lora_runtime_config": {"ephemeral_gpu_offload": True},
    "lora_init": "pissa", "lora_rank_pattern": {"decoder.layers.0.encoder_attn.k_proj": 32},
    "lora_alpha_pattern": {"decoder.layers.*": 48}, "merge_lora": True,
}  # fmt: skip
SEED_004 = """
lang: as
model_name: whisper-medium
model_cache: ./models
gpu_device: 1
whisper_pretrained: null
checkpoint_name: null
checkpoint_dir: null
train: train.csv
val: val.csv
per_device_train_batch_size: 16
gradient_accumulation_steps: 1
learning_rate: 1e-5
warmup_steps: 500
max_steps: 4000
gradient_checkpointing: true
fp16: true
eval_strategy: steps
per_device_eval_batch_size: 8
predict_with_generate: true
generation_max_length: 225
save_steps: 1000
eval_steps: 1000
logging_steps: 25
report_to:
  - tensorboard
load_best_model_at_end: true
metric_for_best_model: wer
greater_is_better: false
"""


def test_the_json_configuration_of_seed_002_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "train_whisper_lora.json"
    path.write_text(json.dumps(SEED_002))
    config = resolve_config(files=[path])
    assert config.optimizer.per_device_train_batch_size == 2
    assert config.adapter.init_lora_weights == "pissa"
    assert config.adapter.rank_pattern == {"decoder.layers.0.encoder_attn.k_proj": 32}
    assert config.optimizer.precision == "fp16"
    assert config.run.merge_lora


def test_the_yaml_configuration_of_seed_004_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(SEED_004)
    config = resolve_config(files=[path])
    assert config.model.base_model == "whisper-medium"
    assert config.data.language == "as"
    assert config.optimizer.max_steps == 4000
    assert config.optimizer.warmup_ratio is None
    assert config.run.report_to == ("tensorboard",)
    assert str(config.run.output_dir) == str(Path("runs/whisper-medium-as-lora"))


@given(
    st.dictionaries(
        st.sampled_from([o.name for o in OPTIONS]), st.one_of(st.none(), st.text(max_size=5), st.integers())
    )
)
def test_any_values_are_either_resolved_or_refused_in_words(values: dict[str, Any]) -> None:
    try:
        config = resolve_config(overrides=[override(name, value) for name, value in values.items()], complete=False)
    except InputError as error:
        refused = str(error)
    else:
        json.dumps(config.values(), allow_nan=False)
        return
    assert any(name in refused for name in values)
    assert "pydantic" not in refused
