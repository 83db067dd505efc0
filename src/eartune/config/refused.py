"""Option names of other tools that are refused, with advice. Messages never repeat a value: it may be a secret."""

from __future__ import annotations

_HUB_TOKEN = (
    "secrets do not belong in a file: remove it, and set the environment variable HF_TOKEN or run `hf auth login`"
)
_HUB_CORPUS = (
    "corpora are not loaded from the hub: download the corpus, convert it to manifests with `eartune prepare`, "
    "and set train and val to them"
)
_RESUMES = (
    "an interrupted run resumes from its newest checkpoint when the same command is run again with the same "
    "output_dir: remove it (to start a new run from other weights, set base_model to them)"
)
_BUCKETS = "set `window: short`, which batches utterances of similar length; `batch_seconds` sets the size of a batch"
_PREFETCH = "each worker decodes two steps ahead; raise `num_workers` if training waits for audio: remove it"
_NEW_WORKERS = "workers restart in each epoch, so that a resumed run samples as an uninterrupted one does: remove it"
_NO_PUSH = "training does not upload models: run `hf upload` on the merged model"

REFUSED: dict[str, str] = {
    "hf_token": _HUB_TOKEN,
    "hub_token": _HUB_TOKEN,
    "token": _HUB_TOKEN,
    "use_auth_token": _HUB_TOKEN,
    "dataset_name": _HUB_CORPUS,
    "dataset_cache": _HUB_CORPUS,
    "push_to_hub": _NO_PUSH,
    "hub_model_id": _NO_PUSH,
    "hub_private_repo": _NO_PUSH,
    "hub_strategy": _NO_PUSH,
    "resume_from_checkpoint": _RESUMES,
    "resume": _RESUMES,
    "resume_from": _RESUMES,
    "ckpt_path": _RESUMES,
    "overwrite_output_dir": "write `overwrite: true`",
    "use_cpu": "`gpu` selects a GPU; to train on the CPU, hide the GPUs: CUDA_VISIBLE_DEVICES=",
    "no_cuda": "to train on the CPU, hide the GPUs: CUDA_VISIBLE_DEVICES=",
    "remove_unused_columns": "manifest rows have no columns that need removing: remove it",
    "pin_memory": "done automatically on a GPU: remove it",
    "dataloader_pin_memory": "done automatically on a GPU: remove it",
    "persistent_workers": _NEW_WORKERS,
    "dataloader_persistent_workers": _NEW_WORKERS,
    "prefetch_factor": _PREFETCH,
    "dataloader_prefetch_factor": _PREFETCH,
    "bucketing": _BUCKETS,
    "bucket_bins": _BUCKETS,
    "bucket_bs": _BUCKETS,
    "monitor": "set `metric_for_best_model: loss` (for val_loss), wer or cer",
    "auto_download": "a model is downloaded automatically if `base_model` is a hub id: remove it",
    "adapter_name": "an adapter is identified by its folder (`output_dir`): remove it",
    "group_by_length": "set `window: short`, which batches utterances of similar length and does not pad them to 30 s",
    "train_sampling_strategy": "set `window: short`, which batches utterances of similar length",
    "auto_find_batch_size": "set `batch_seconds: auto`",
    "do_train": "the command selects what is done (eartune train): remove it",
    "do_eval": "validation runs if `val` is set: remove it",
    "do_predict": "use `eartune evaluate`",
    "disable_tqdm": "a progress bar is shown on a terminal only, plain lines elsewhere: remove it",
}
TRAINER_ONLY = "an argument of transformers' Trainer that eartune does not use: remove it"
# The rest of transformers' Seq2SeqTrainingArguments (5.23), so that they are not reported as unknown keys.
TRAINER_ARGUMENTS = frozenset(
    """accelerator_config activation_checkpointing activation_checkpointing_kwargs
    average_tokens_across_devices batch_eval_metrics bf16_full_eval data_seed dataloader_drop_last
    dataloader_in_order dataloader_multiprocessing_context ddp_backend
    ddp_broadcast_buffers ddp_bucket_cap_mb ddp_find_unused_parameters
    ddp_static_graph ddp_timeout debug deepspeed enable_jit_checkpoint eval_accumulation_steps eval_delay
    eval_do_concat_batches eval_use_gather_object fp16_full_eval fsdp fsdp_config generation_config
    gradient_checkpointing_kwargs hub_always_push hub_revision ignore_data_skip include_for_metrics
    include_num_input_tokens_seen label_names length_column_name liger_kernel_config local_rank log_level
    log_level_replica log_on_each_node logging_first_step logging_nan_inf_filter logging_strategy
    neftune_noise_alpha optim_args optim_target_modules parallelism_config prediction_loss_only project
    restore_callback_states_from_checkpoint save_on_each_node save_only_model skip_memory_metrics sortish_sampler
    tf32 torch_compile_backend torch_compile_mode torch_empty_cache_steps trackio_bucket_id
    trackio_space_id trackio_static_space_id use_cache use_liger_kernel""".split()  # noqa: SIM905
)


def refusal(name: str) -> str | None:
    """Return why an option of another tool is refused and what to do; None for an unknown name."""
    if name in REFUSED:
        return REFUSED[name]
    return TRAINER_ONLY if name in TRAINER_ARGUMENTS else None
