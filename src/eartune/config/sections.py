"""Options of data, model, run and validation. The docstring under an option is its help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from eartune.config.options import Paths, ResumeSafe, Section, Texts, also


class DataSection(Section):
    """Data: the speech to train and validate on."""

    train: Annotated[Paths, ResumeSafe(), also("train_csv", "train_manifest", "train_jsonl", "train_data")] = ()
    """Manifests to train on: NeMo JSONL, a JSON list, CSV or Hugging Face rows. Required."""
    val: Annotated[
        Paths, ResumeSafe(), also("val_csv", "val_manifest", "val_jsonl", "eval_csv", "validation", "dev")
    ] = ()
    """Validation manifests, on which the best checkpoint is chosen. Without them there is no `best/`, only `last/`."""
    language: Annotated[str | None, also("lang", flags=("-l",))] = None
    """Language code (en, ru, as, ...) of rows without one. Multilingual models need a language from here or from the
    rows."""
    language_token: str | None = None
    """{takers of language_token}: use the token of this language for all languages without a token
    (`--language-token ru`), or one for each (`cnh=my,tok=en`). Texts and scores keep their own language."""
    task: Literal["transcribe", "translate"] = "transcribe"
    """Kind of the texts: transcripts in the spoken language, or translations into English."""
    skip_bad: Annotated[bool, ResumeSafe()] = False
    """Skip rows that cannot be used, and report how many. By default all of them are reported and training does not
    start."""
    max_duration: Annotated[float | None, Field(gt=0), also("max_duration_s")] = None
    """Longest utterance accepted, in seconds. A model has its own limit: {max_durations}."""
    dataloader_num_workers: Annotated[int | None, Field(ge=0), ResumeSafe(), also("num_workers")] = None
    """Processes that decode audio. By default one per core, at most four, and none on Windows."""


class ModelSection(Section):
    """Model: where training starts."""

    base_model: Annotated[
        str | None,
        ResumeSafe(),
        also(
            "model_id", "model_name", "model_name_or_path", "whisper_pretrained", "model", "nemo", flags=("-mn", "-wp")
        ),
    ] = None
    """A hub id ({example}), a local Hugging Face directory, {single_files}. Required."""
    model_cache: Annotated[Path | None, ResumeSafe(), also("model_cache_dir", "cache_dir", flags=("-mc",))] = None
    """Folder for models downloaded from the hub; by default the hub's own cache."""
    revision: Annotated[str | None, ResumeSafe()] = None
    """Branch, tag or commit of a hub model."""
    method: Literal["lora", "partial", "full"] = "lora"
    """Train low-rank adapters (see the adapter options), parts of the network (see the partial options), or all."""
    base_weights: Annotated[Literal["auto", "fp32"], ResumeSafe()] = "auto"
    """Data type of the frozen matrices under an adapter in memory: auto is that of `precision`, which halves their size
    for bf16 and fp16. Saved and merged weights are float32 either way."""
    freeze_encoder: bool = False
    """Freeze the encoder: faster, and enough for new words spoken by familiar kinds of voices."""
    freeze_feature_encoder: bool = True
    """{takers of freeze_feature_encoder}: freeze the convolutions on raw samples below the encoder, also with method
    full, as these models are fine-tuned. false is for much data, or a base model of random weights."""
    cache_encoder: bool | Literal["memory", "disk"] = False
    """With a frozen encoder: cache the encoder output of each utterance in the first epoch, so that later epochs run
    the decoder only, many times faster. true: in memory if it fits into half of the free memory, else on disk, where
    other runs on the same speech reuse it."""
    extend_vocabulary: bool = False
    """{takers of extend_vocabulary}: add a token for each character of the training texts that the tokenizer lacks,
    after the existing tokens, which do not change. Modules with a row per token are then trained in full, whatever the
    method."""
    new_vocabulary: bool = False
    """{takers of new_vocabulary}: replace tokenizer and output head by new ones with a token for each letter and digit
    of the training texts. A base model that was trained without transcripts needs it."""
    debug_linear: Annotated[int, Field(ge=0), ResumeSafe()] = 0
    """Before training, list this many modules that have adapters, with shape and rank, and as many of the parameters
    that are trained in full."""


class RunSection(Section):
    """Run: output folder, logging, checkpoints and export."""

    output_dir: Annotated[
        Path | None, ResumeSafe(), also("outdir", "out_dir", "checkpoint_dir", "exp_dir", "out", flags=("-cd",))
    ] = None
    """Folder of the run. By default runs/RUN_NAME."""
    run_name: Annotated[str | None, ResumeSafe(), also("checkpoint_name", flags=("-ck",))] = None
    """Name of the run. By default composed of model, language and method."""
    overwrite: Annotated[bool, ResumeSafe()] = False
    """Start a new run in a folder that holds another one, whose checkpoints are deleted."""
    gpu: Annotated[int | None, Field(ge=0), ResumeSafe(), also("gpu_device", flags=("-g",))] = None
    """Index of the GPU to use. By default the first one, or the CPU if there is no GPU."""
    seed: int = 42
    """Seed of shuffling, initialisation and dropout."""
    report_to: Annotated[Texts, ResumeSafe(), also("log")] = ("csv", "tensorboard")
    """Loggers of metrics: csv (metrics.csv), tensorboard (or tb), none, or wandb, mlflow if installed."""
    logging_steps: Annotated[int, Field(ge=1), ResumeSafe(), also("term_report_steps")] = 10
    """Optimiser steps between two log entries of loss and learning rate."""
    mem_report_steps: Annotated[int, Field(ge=0), ResumeSafe()] = 0
    """Optimiser steps between two reports of the memory of GPU and process ([MEM:step50] ...), which is also logged
    with the loss, and reported after each validation, at the start and at the end. 0: never."""
    save_strategy: Annotated[Literal["epoch", "steps"] | None, ResumeSafe()] = None
    """Save a checkpoint after each epoch, or every `save_steps`. By default the same as `eval_strategy`."""
    save_steps: Annotated[int | None, Field(ge=1), ResumeSafe(), also("save_every")] = None
    """Optimiser steps between two checkpoints to resume from."""
    save_total_limit: Annotated[int, Field(ge=1), ResumeSafe()] = 2
    """Number of checkpoints kept to resume from; `best/` and `last/` are kept in addition."""
    merge_lora: Annotated[bool, ResumeSafe()] = False
    """After training, merge the adapter into the base model and write it to OUTPUT_DIR/merged."""
    export: Annotated[Path | None, ResumeSafe(), also("export_nemo")] = None
    """After training, and after Ctrl+C, write the fine-tuned model (of `best/`, else `last/`; an adapter is merged into
    its base model) to this folder, replacing an earlier export of the same run. A path that ends in .nemo is written as
    a file for NeMo ({with nemo})."""


class ValidationSection(Section):
    """Validation: how the best checkpoint is chosen."""

    eval_strategy: Annotated[Literal["epoch", "steps", "no"] | None, also("evaluation_strategy")] = None
    """Validate after each epoch, every `eval_steps`, or never. By default epoch, or steps if `eval_steps` is set."""
    eval_steps: Annotated[int | None, Field(ge=1), also("val_every_n_steps")] = None
    """Optimiser steps between two validations."""
    eval_on_start: bool = False
    """Validate before the first step too, so that the curve starts with the base model."""
    per_device_eval_batch_size: Annotated[int, Field(ge=1), ResumeSafe(), also("val_bs")] = 16
    """Utterances decoded at once in validation."""
    predict_with_generate: bool = True
    """Decode the validation data and score it; if false, only the loss is computed."""
    generation_max_length: Annotated[int, Field(ge=2, le=448)] = 225
    """Maximum length of a hypothesis in tokens, without its prompt; a model's decoder may have fewer positions."""
    generation_num_beams: Annotated[int, Field(ge=1)] = 1
    """Beams in decoding; 1 is greedy."""
    eval_window: Literal["padded", "short"] = "padded"
    """Encoder input in validation: the model's full window (padded), or the longest utterance of the batch and a little
    silence (short): several times faster, and valid only for models trained with short windows."""
    metric_for_best_model: Literal["wer", "cer", "loss"] = "wer"
    """Metric that selects `best/`: normalised word or character error rate of decoded hypotheses, or the loss."""
    greater_is_better: bool | None = None
    """Accepts only false, as a lower value of every metric is better."""
    load_best_model_at_end: Annotated[bool, ResumeSafe()] = True
    """`merge_lora`, `export` and later commands use `best/` of the run, or `last/` if false."""
    early_stop: bool = False
    """Stop when the metric has not improved for `early_stopping_patience` validations."""
    early_stopping_patience: Annotated[int | None, Field(ge=1), also("es_patience")] = None
    """Validations without improvement before stopping; setting it turns `early_stop` on. 4 by default."""
    early_stopping_threshold: Annotated[float, Field(ge=0), also("es_min_delta")] = 0.0
    """Smallest absolute change of the metric that counts as improvement (0.003 is 0.3 points of WER)."""
