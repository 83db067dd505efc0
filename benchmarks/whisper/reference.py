"""The script of the public guides (Hugging Face's "Fine-Tune Whisper", PEFT's Whisper notebook), on current libraries.

Left out, because they say nothing about speed: uploading, TensorBoard, checkpoints. Clips come in the manifest's order
instead of a random one, so that every step of every setting has the same audio. Audio is read with libsndfile, which is
faster than datasets' own decoder. PEFT's notebook holds the frozen weights in int8, for memory, which needs CUDA and
bitsandbytes; here they stay as they are.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import datasets
import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrainerCallback,
    WhisperForConditionalGeneration,
    WhisperProcessor,
)

from benchmarks.whisper.gate import Clock, Gate, hash_of_weights, resources
from benchmarks.whisper.protocol import Benchmark
from benchmarks.whisper.setting import Setting
from eartune.audio import SAMPLE_RATE_HZ, decode

PREPARING_PROCESSES = min(4, os.cpu_count() or 1)
TRAINED_WITHOUT_END = 1_000_000


def train(name: str, setting: Setting, benchmark: Benchmark) -> None:
    processor = load_processor(setting)
    speech = prepare(setting, processor)
    # audio seconds after so many steps; the clips come round again in the same order
    after_clips = [0.0, *accumulate(setting.durations_s("train"))]

    def audio_seconds(steps: int) -> float:
        rounds, clips = divmod(steps * setting.clips_per_step, len(after_clips) - 1)
        return rounds * after_clips[-1] + after_clips[clips]

    gate = Gate(benchmark, audio_seconds)
    trainer(name, setting, processor, speech, callbacks=[gate]).train()
    gate.report(setting.folder)


def evaluate(name: str, setting: Setting, benchmark: Benchmark) -> None:
    processor = load_processor(setting)
    speech = prepare(setting, processor)
    decoder = trainer(name, setting, processor, speech, callbacks=[])
    weights = hash_of_weights(decoder.model)
    durations_s = setting.durations_s("test")
    benchmark.ready()
    while (request := benchmark.request())["do"] == "evaluate":
        clips = request["clips"]
        clock = Clock()
        tokens = decoder.predict(speech["test"].select(range(clips))).predictions
        texts = processor.batch_decode(np.where(tokens < 0, processor.tokenizer.pad_token_id, tokens), True)
        times = clock.read()
        texts = [text.strip() for text in texts]
        benchmark.done(**times, clips=clips, audio_seconds=sum(durations_s[:clips]), texts=texts)
    benchmark.done(initial_weights=weights, **resources(setting.folder))


def load_processor(setting: Setting) -> WhisperProcessor:
    return WhisperProcessor.from_pretrained(setting.model, language=setting.language, task="transcribe")


def prepare(setting: Setting, processor: WhisperProcessor) -> Any:
    """Write every clip's log-mel features of 30 s and its labels into datasets' cache."""

    def features_and_labels(row: dict[str, Any]) -> dict[str, Any]:
        samples = decode(row["audio_filepath"], offset_s=row["offset"], duration_s=row["duration"])
        features = processor.feature_extractor(samples, sampling_rate=SAMPLE_RATE_HZ).input_features[0]
        return {"input_features": features, "labels": processor.tokenizer(row["text"]).input_ids}

    files = {"train": str(setting.train), "test": str(setting.test)}
    rows = datasets.load_dataset("json", data_files=files, cache_dir=str(setting.folder / "datasets"))
    return rows.map(features_and_labels, remove_columns=rows["train"].column_names, num_proc=PREPARING_PROCESSES)


@dataclass
class PaddedSpeech:
    """Makes a batch of rows: features as they are, labels padded, and padding marked as not to be learned."""

    processor: WhisperProcessor
    start_token_id: int

    def __call__(self, rows: list[dict[str, Any]]) -> Any:
        features = [{"input_features": row["input_features"]} for row in rows]
        batch = self.processor.feature_extractor.pad(features, return_tensors="pt")
        labels = self.processor.tokenizer.pad([{"input_ids": row["labels"]} for row in rows], return_tensors="pt")
        targets = labels["input_ids"].masked_fill(labels["attention_mask"] == 0, -100)
        # the network puts the start token before the labels by itself
        if bool((targets[:, 0] == self.start_token_id).all()):
            targets = targets[:, 1:]
        batch["labels"] = targets
        return batch


def trainer(
    name: str, setting: Setting, processor: WhisperProcessor, model: Any, *, callbacks: list[TrainerCallback]
) -> Seq2SeqTrainer:
    network = WhisperForConditionalGeneration.from_pretrained(setting.model, dtype=torch.float32)
    network.generation_config.language = setting.language
    network.generation_config.task = "transcribe"
    network.generation_config.forced_decoder_ids = None
    start_token_id = network.config.decoder_start_token_id
    if name == "peft":
        lora = LoraConfig(r=32, lora_alpha=64, target_modules=["q_proj", "v_proj"], lora_dropout=0.05, bias="none")
        network = get_peft_model(network, lora)
    if name != "guide":
        model.set_format("torch")
    return Seq2SeqTrainer(
        model=network,
        args=arguments(name, setting),
        train_dataset=model["train"],
        eval_dataset=model["test"],
        data_collator=PaddedSpeech(processor, start_token_id),
        processing_class=processor.feature_extractor,
        callbacks=callbacks,
    )


def arguments(name: str, setting: Setting) -> Seq2SeqTrainingArguments:
    as_taught: dict[str, Any] = {
        "output_dir": str(setting.folder / "run"),
        "use_cpu": not torch.cuda.is_available(),
        "per_device_train_batch_size": setting.clips_per_pass,
        "gradient_accumulation_steps": setting.passes_per_step(),
        "learning_rate": 1e-5,
        "warmup_steps": 500,
        "max_steps": TRAINED_WITHOUT_END,
        "train_sampling_strategy": "sequential",
        "activation_checkpointing": True,
        "fp16": torch.cuda.is_available(),
        "per_device_eval_batch_size": 8,
        "predict_with_generate": True,
        "generation_max_length": setting.max_tokens,
        "save_strategy": "no",
        "eval_strategy": "no",
        "logging_steps": 25,
        "report_to": "none",
        "disable_tqdm": True,
    }
    stronger = {
        "activation_checkpointing": False,
        "fp16": setting.precision == "fp16",
        "bf16": setting.precision == "bf16",
        "per_device_eval_batch_size": setting.clips_per_pass,
        "optim": "adamw_torch_fused",
        "dataloader_num_workers": setting.workers,
        "dataloader_persistent_workers": setting.workers > 0,
    }
    lora = {
        "activation_checkpointing": True,
        "learning_rate": 1e-3,
        "warmup_steps": 50,
        # the columns and labels of a network cannot be read off PEFT's wrapper
        "remove_unused_columns": False,
        "label_names": ["labels"],
    }
    settings = {"guide": as_taught, "strong": as_taught | stronger, "peft": as_taught | stronger | lora}
    return Seq2SeqTrainingArguments(**settings[name])
