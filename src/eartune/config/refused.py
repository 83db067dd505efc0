"""Names that are known from other tools and not used here, with what to do instead. No value is ever repeated."""

from __future__ import annotations

_HUB_TOKEN = (
    "secrets do not belong in a file: remove it, and set the environment variable HF_TOKEN or run `hf auth login`"
)
_HUB_CORPUS = (
    "corpora are not loaded from the hub: download the corpus, turn it into manifests with `eartune prepare`, "
    "and name them under train and val"
)
_GOES_ON = (
    "an interrupted run goes on from its newest checkpoint by itself when the same command is given again, with the "
    "same output_dir: remove it (to start a new run from other weights, name them as base_model)"
)
_BUCKETS = "set `window: short`, which puts clips of like length together; `batch_seconds` says how much a batch holds"
_PREFETCH = "workers decode two steps ahead each; raise `num_workers` if training waits for audio: remove it"
_NEW_WORKERS = "workers begin anew in each epoch, so that a continued run draws what an unbroken one does: remove it"
_NO_PUSH = "models are not uploaded by eartune: run `hf upload` on the merged model"

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
    "resume_from_checkpoint": _GOES_ON,
    "resume": _GOES_ON,
    "resume_from": _GOES_ON,
    "ckpt_path": _GOES_ON,
    "overwrite_output_dir": "write `overwrite: true`",
    "use_cpu": "set `gpu` for a certain GPU; to train on the CPU, hide the GPUs: CUDA_VISIBLE_DEVICES=",
    "no_cuda": "to train on the CPU, hide the GPUs: CUDA_VISIBLE_DEVICES=",
    "remove_unused_columns": "manifest rows have no columns that need removing: remove it",
    "pin_memory": "done by itself where there is a GPU: remove it",
    "dataloader_pin_memory": "done by itself where there is a GPU: remove it",
    "persistent_workers": _NEW_WORKERS,
    "dataloader_persistent_workers": _NEW_WORKERS,
    "prefetch_factor": _PREFETCH,
    "dataloader_prefetch_factor": _PREFETCH,
    "bucketing": _BUCKETS,
    "bucket_bins": _BUCKETS,
    "bucket_bs": _BUCKETS,
    "monitor": "set `metric_for_best_model: loss` (for val_loss), wer or cer",
    "auto_download": "a model is fetched by itself where `base_model` is a hub id: remove it",
    "adapter_name": "an adapter is known by its folder (`output_dir`): remove it",
    "group_by_length": "set `window: short`, which puts clips of like length together and does not pad them to 30 s",
    "train_sampling_strategy": "set `window: short`, which puts clips of like length together",
    "auto_find_batch_size": "set `batch_seconds: auto`",
    "do_train": "the verb says what is done (eartune train): remove it",
    "do_eval": "validation is done where `val` is given: remove it",
    "do_predict": "use `eartune evaluate`",
    "disable_tqdm": "progress is shown on a terminal and as plain lines elsewhere: remove it",
}
TRAINER_ONLY = "an argument of transformers' Trainer that eartune does not use: remove it"
# The rest of transformers' Seq2SeqTrainingArguments (5.23): known, so that the answer is not 'unknown key'.
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
    """Return why a known name is not used here and what to do, or None for a name nobody knows."""
    if name in REFUSED:
        return REFUSED[name]
    return TRAINER_ONLY if name in TRAINER_ARGUMENTS else None
