"""The options of data, model, run and validation. The docstring under an option is its help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from eartune.config.options import Paths, ResumeSafe, Section, Texts, also


class DataSection(Section):
    """Data: the speech to learn from."""

    train: Annotated[Paths, ResumeSafe(), also("train_csv", "train_manifest", "train_jsonl", "train_data")] = ()
    """Manifests to train on: NeMo JSONL, a JSON list, CSV or Hugging Face rows. Required."""
    val: Annotated[
        Paths, ResumeSafe(), also("val_csv", "val_manifest", "val_jsonl", "eval_csv", "validation", "dev")
    ] = ()
    """Manifests to choose the best checkpoint on. Without them there is no `best/`, only `last/`."""
    language: Annotated[str | None, also("lang", flags=("-l",))] = None
    """Language code (en, ru, as, ...) of rows that name none. Multilingual Whisper needs it one way or the other."""
    language_token: str | None = None
    """Whisper: the language whose token stands in for those that the model has none for (`--language-token ru`), or one
    for each (`cnh=my,tok=en`). Texts and scores keep their own language."""
    task: Literal["transcribe", "translate"] = "transcribe"
    """What the text is: a transcript in the language spoken, or its translation into English."""
    skip_bad: Annotated[bool, ResumeSafe()] = False
    """Go on without rows that cannot be used, and say how many; otherwise they are all reported and nothing starts."""
    max_duration: Annotated[float | None, Field(gt=0), also("max_duration_s")] = None
    """Longest utterance accepted, in seconds. Whisper itself accepts 30, Canary and Parakeet 40."""
    dataloader_num_workers: Annotated[int | None, Field(ge=0), ResumeSafe(), also("num_workers")] = None
    """Processes that decode audio. By default one per core, four at most, and none on Windows."""


class ModelSection(Section):
    """Model: where training starts."""

    base_model: Annotated[
        str | None,
        ResumeSafe(),
        also(
            "model_id", "model_name", "model_name_or_path", "whisper_pretrained", "model", "nemo", flags=("-mn", "-wp")
        ),
    ] = None
    """A hub id (openai/whisper-small), a local Hugging Face directory, an OpenAI .pt file or a .nemo file. Required."""
    model_cache: Annotated[Path | None, ResumeSafe(), also("model_cache_dir", "cache_dir", flags=("-mc",))] = None
    """Where models from the hub are kept; by default the hub's own cache."""
    revision: Annotated[str | None, ResumeSafe()] = None
    """Branch, tag or commit of a hub model."""
    method: Literal["lora", "partial", "full"] = "lora"
    """Train low-rank adapters (see the adapter options), parts of the network (see the partial options), or all."""
    base_weights: Annotated[Literal["auto", "fp32"], ResumeSafe()] = "auto"
    """How the frozen matrices under an adapter are kept in memory: auto keeps them as `precision` computes with them,
    which halves them in bf16 and fp16. What is saved or merged is float32 either way."""
    freeze_encoder: bool = False
    """Train nothing in the encoder: faster, and enough where the words are new but the voices are not."""
    cache_encoder: bool | Literal["memory", "disk"] = False
    """With a frozen encoder: keep what it says about each clip after the first epoch, so that later ones only run the
    decoder, many times faster. true: in memory if it fits in half of what is free, else on the disk, where other runs
    on the same speech find it too."""
    extend_vocabulary: bool = False
    """Parakeet: give each character of the training texts that the tokenizer lacks a token of its own, behind those it
    has, which stay as they are. The modules with a row for each token are then trained in full, whatever the method."""
    debug_linear: Annotated[int, Field(ge=0), ResumeSafe()] = 0
    """Before training, list the first so many modules that have adapters, with shape and rank, and as many of the
    parameters that are trained in full."""


class RunSection(Section):
    """Run: what is written, where and when."""

    output_dir: Annotated[
        Path | None, ResumeSafe(), also("outdir", "out_dir", "checkpoint_dir", "exp_dir", "out", flags=("-cd",))
    ] = None
    """Folder of the run. By default runs/RUN_NAME."""
    run_name: Annotated[str | None, ResumeSafe(), also("checkpoint_name", flags=("-ck",))] = None
    """Name of the run. By default made of model, language and method."""
    overwrite: Annotated[bool, ResumeSafe()] = False
    """Start afresh in a folder that holds another run. Its checkpoints are deleted."""
    gpu: Annotated[int | None, Field(ge=0), ResumeSafe(), also("gpu_device", flags=("-g",))] = None
    """Index of the GPU to use. By default the first one, or the CPU where there is not one."""
    seed: int = 42
    """Seed of shuffling, initialisation and dropout."""
    report_to: Annotated[Texts, ResumeSafe(), also("log")] = ("csv", "tensorboard")
    """Where metrics go: csv (metrics.csv), tensorboard (or tb), none, or wandb, mlflow where they are installed."""
    logging_steps: Annotated[int, Field(ge=1), ResumeSafe(), also("term_report_steps")] = 10
    """Log loss and learning rate every so many optimiser steps."""
    mem_report_steps: Annotated[int, Field(ge=0), ResumeSafe()] = 0
    """Show the memory of GPU and process every so many optimiser steps, after each validation, at the beginning and at
    the end ([MEM:step50] ...), and log it with the loss. 0: never."""
    save_strategy: Annotated[Literal["epoch", "steps"] | None, ResumeSafe()] = None
    """Save a checkpoint after each epoch, or every `save_steps`. By default as `eval_strategy`."""
    save_steps: Annotated[int | None, Field(ge=1), ResumeSafe(), also("save_every")] = None
    """Save a checkpoint to continue from every so many optimiser steps."""
    save_total_limit: Annotated[int, Field(ge=1), ResumeSafe()] = 2
    """Checkpoints kept to continue from; `best/` and `last/` are kept besides."""
    merge_lora: Annotated[bool, ResumeSafe()] = False
    """After training, merge the adapter into the base model and write it to OUTPUT_DIR/merged."""
    export: Annotated[Path | None, ResumeSafe(), also("export_nemo")] = None
    """After training, and after Ctrl+C, write the tuned model (of `best/`, else `last/`; an adapter is merged into its
    base model) to this folder, in place of what the same run wrote there before. A path that ends in .nemo is written
    as a file for NeMo (Canary and Parakeet)."""


class ValidationSection(Section):
    """Validation: how the best checkpoint is found."""

    eval_strategy: Annotated[Literal["epoch", "steps", "no"] | None, also("evaluation_strategy")] = None
    """Measure after each epoch, every `eval_steps`, or never. By default epoch, or steps if `eval_steps` is set."""
    eval_steps: Annotated[int | None, Field(ge=1), also("val_every_n_steps")] = None
    """Measure every so many optimiser steps."""
    eval_on_start: bool = False
    """Measure before the first step too, so that the curve begins with the base model."""
    per_device_eval_batch_size: Annotated[int, Field(ge=1), ResumeSafe(), also("val_bs")] = 16
    """Utterances decoded at once in validation."""
    predict_with_generate: bool = True
    """Decode the validation speech and score it; if false, only the loss is measured."""
    generation_max_length: Annotated[int, Field(ge=2, le=448)] = 225
    """Longest hypothesis in tokens, its prompt not counted; Whisper itself ends at 448 with the prompt."""
    generation_num_beams: Annotated[int, Field(ge=1)] = 1
    """Beams in decoding; 1 is greedy."""
    eval_window: Literal["padded", "short"] = "padded"
    """What validation shows of a clip: Whisper's stock 30 s window (padded), or the longest clip of the batch and a
    little silence (short): several times faster, and right only for models trained with short windows."""
    metric_for_best_model: Literal["wer", "cer", "loss"] = "wer"
    """What `best/` is chosen by: normalised word or character error rate of real decoding, or the loss."""
    greater_is_better: bool | None = None
    """Whether a higher metric is better: never, so false is the only value accepted."""
    load_best_model_at_end: Annotated[bool, ResumeSafe()] = True
    """What `merge_lora`, `export` and later verbs take from the run: `best/`, or `last/` if false."""
    early_stop: bool = False
    """Stop when the metric has not improved for `early_stopping_patience` measurements."""
    early_stopping_patience: Annotated[int | None, Field(ge=1), also("es_patience")] = None
    """Measurements without improvement before stopping; setting it turns `early_stop` on. 4 by default."""
    early_stopping_threshold: Annotated[float, Field(ge=0), also("es_min_delta")] = 0.0
    """Smallest absolute change of the metric that counts as improvement (0.003 is 0.3 points of WER)."""
