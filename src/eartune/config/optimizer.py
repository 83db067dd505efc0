"""Options of the optimiser, named as in transformers' Seq2SeqTrainingArguments."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from eartune.config.options import ResumeSafe, Section, also

FractionOfOne = Annotated[float, Field(ge=0, lt=1)]
# Lightning's names; eartune's bf16 and fp16 are mixed precision too
LIGHTNING_PRECISIONS = {"bf16-mixed": "bf16", "16-mixed": "fp16", "16": "fp16", "32": "fp32", "32-true": "fp32"}


def _known_precision(value: Any) -> Any:
    return LIGHTNING_PRECISIONS.get(str(value), value)


class OptimizerSection(Section):
    """Optimiser: duration, learning rate and precision."""

    learning_rate: Annotated[float | None, Field(gt=0), also("lr")] = None
    """Peak learning rate. By default 5e-4 for LoRA, 1e-5 for full and partial tuning, 1e-4 for partial with LoRA."""
    layerwise_lr_decay: Annotated[float | None, Field(gt=0, le=1), also("llrd")] = None
    """Factor by which the learning rate decreases from layer to layer, from the highest trained layer (the head and the
    last decoder layer) down to the first of the encoder. 0.9 is usual; by default all layers have the same rate."""
    num_train_epochs: Annotated[float, Field(gt=0), also("epochs", "num_epochs", "max_epochs")] = 3.0
    """Passes over the training data."""
    max_steps: Annotated[int | None, Field(ge=1), also(flags=("-t",))] = None
    """Optimiser steps; overrides `num_train_epochs`."""
    per_device_train_batch_size: Annotated[int, Field(ge=1), also("per_dev_batch", "batch_size", "bs")] = 8
    """Utterances per step and device."""
    gradient_accumulation_steps: Annotated[int, Field(ge=1), also("grad_accum", "accum")] = 1
    """Batches whose gradients are summed before an optimiser step."""
    lr_scheduler_type: Annotated[
        Literal["linear", "cosine", "inverse_sqrt", "constant", "constant_with_warmup", "polynomial", "none"],
        also("sched", "scheduler"),
    ] = "linear"
    """Schedule of the learning rate after warm-up; none is the same as constant."""
    lr_scheduler_kwargs: dict[str, Any] | None = None
    """Further arguments of the scheduler."""
    warmup_steps: Annotated[int | None, Field(ge=0)] = None
    """Optimiser steps in which the learning rate rises to its peak."""
    warmup_ratio: FractionOfOne | None = None
    """Warm-up as a share of all steps. By default 0.1 if `warmup_steps` is not set."""
    min_lr: Annotated[float | None, Field(ge=0)] = None
    """Lowest learning rate after warm-up: where linear, cosine and polynomial end, and the floor of inverse_sqrt."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's weight decay; not applied to norms and biases."""
    adam_beta1: FractionOfOne = 0.9
    """AdamW's decay rate of the first moment."""
    adam_beta2: FractionOfOne = 0.999
    """AdamW's decay rate of the second moment."""
    adam_epsilon: Annotated[float, Field(gt=0)] = 1e-8
    """AdamW's epsilon."""
    optim: str = "adamw_torch_fused"
    """Optimiser, by transformers' name: adamw_torch_fused, adamw_torch, adafactor, adamw_bnb_8bit, schedule_free_adamw,
    ..."""
    fused_optim: bool | None = None
    """Short form of optim adamw_torch_fused (true) or adamw_torch (false)."""
    max_grad_norm: Annotated[float, Field(ge=0), also("gradient_clip_val")] = 1.0
    """Gradients are clipped to this norm; 0 disables clipping."""
    label_smoothing_factor: FractionOfOne = 0.0
    """Label smoothing of the cross-entropy."""
    precision: Annotated[Literal["auto", "bf16", "fp16", "fp32"], BeforeValidator(_known_precision)] = "auto"
    """Precision of training. auto selects bf16 where the GPU or CPU supports it natively, else fp32. bf16-mixed,
    16-mixed and 32 are accepted too."""
    bf16: bool | None = None
    """Short form of precision bf16 (true); false forbids it."""
    fp16: bool | None = None
    """Short form of precision fp16 (true); false forbids it."""
    gradient_checkpointing: Annotated[bool, also("grad_ckpt")] = False
    """Recompute activations in the backward pass: much less memory, a third more time."""
    torch_compile: Annotated[bool, ResumeSafe()] = False
    """Compile the layers: less time per step on a GPU, after a minute or two at the first steps. Decoding is not
    compiled."""
    full_determinism: Annotated[bool, ResumeSafe()] = False
    """Use deterministic kernels only; slower on a GPU."""

    @property
    def is_schedule_free(self) -> bool:
        """Whether the optimiser averages weights in place of a schedule of the learning rate (arXiv 2405.15682)."""
        return self.optim.startswith("schedule_free")
