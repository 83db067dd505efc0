"""Named sets of values for one machine. A value that the user gives, in a file or on the command line, wins."""

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
    },
    "a6000-max": {
        "precision": "bf16",
        "per_device_train_batch_size": 12,
        "gradient_accumulation_steps": 1,
        "per_device_eval_batch_size": 32,
        "dataloader_num_workers": 8,
        "r": 32,
        "lora_alpha": 64,
    },
}
