"""Presets: named sets of values for one machine. Values in a file or on the command line override them."""

from __future__ import annotations

from typing import Any

# The batch sizes are for Whisper large with adapters in 30 s windows; on smaller models raise them by hand.
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
# A FastConformer does not pad utterances to 30 s, so these batches need no gradient checkpointing.
_NEMO: dict[str, dict[str, Any]] = {
    "4070ti": {"gradient_checkpointing": False},
    "a6000-fast": {"r": 16, "lora_alpha": 32, "lora_dropout": 0.05},
    "a6000-max": {"r": 16, "lora_alpha": 32, "lora_dropout": 0.05},
}
# values that differ for a family: family -> preset -> values
OF_FAMILY: dict[str, dict[str, dict[str, Any]]] = {"canary": _NEMO, "parakeet": _NEMO}


def preset_values(preset: str, family: str) -> dict[str, Any]:
    """Return the values of a preset for one family."""
    return PRESETS[preset] | OF_FAMILY.get(family, {}).get(preset, {})
