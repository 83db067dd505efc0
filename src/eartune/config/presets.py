"""Presets: named sets of values for one machine. Values in a file or on the command line override them."""

from __future__ import annotations

from typing import Any

from eartune.family import family_named

# The batch sizes are for 1.5 billion weights with adapters, in 30 s windows; for smaller models raise them by hand.
PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {"per_device_train_batch_size": 4, "per_device_eval_batch_size": 8, "dataloader_num_workers": 1},
    "4070ti": {
        "precision": "bf16",
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 8,
        "per_device_eval_batch_size": 8,
        "gradient_checkpointing": True,
    },
    "4090": {
        "precision": "bf16",
        "per_device_train_batch_size": 16,
        "per_device_eval_batch_size": 16,
        "gradient_checkpointing": True,
    },
    "a6000-fast": {
        "precision": "bf16",
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 1,
        "per_device_eval_batch_size": 16,
        "dataloader_num_workers": 8,
        "mem_report_steps": 50,
    },
    "a6000-max": {
        "precision": "bf16",
        "per_device_train_batch_size": 12,
        "gradient_accumulation_steps": 1,
        "per_device_eval_batch_size": 32,
        "dataloader_num_workers": 8,
        "mem_report_steps": 50,
        "r": 32,
        "lora_alpha": 64,
    },
}


def preset_values(preset: str, family: str) -> dict[str, Any]:
    """Return the values of a preset for one family."""
    return {**PRESETS[preset], **family_named(family).presets.get(preset, {})}
