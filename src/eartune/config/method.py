"""Rules of the training methods: how the method is inferred, its learning rate, and conflicting options."""

from __future__ import annotations

from eartune.config.train_config import TrainConfig, with_values

LEARNING_RATES = {"lora": 5e-4, "partial": 1e-5, "partial with LoRA": 1e-4, "full": 1e-5}


def fill_in_method(config: TrainConfig) -> TrainConfig:
    """Infer the method from options that only one method has, and the learning rate from the method."""
    chosen = _partial_options(config)
    if chosen and not config.given("method"):
        config = with_values(config, f"default, as {chosen[0]} is set", method="partial")
    if config.optimizer.learning_rate is None:
        method = config.model.method
        name = "partial with LoRA" if method == "partial" and config.partial.with_lora else method
        config = with_values(config, f"default for {name}", learning_rate=LEARNING_RATES[name])
    return config


def name_of_method(config: TrainConfig) -> str:
    """Return the method as it appears in a run's name: lora, dora, partial, partial-lora, full."""
    adapter = "dora" if config.adapter.use_dora else "lora"
    if config.model.method == "lora":
        return adapter
    return f"{config.model.method}-{adapter}" if config.has_adapter() else config.model.method


def method_conflicts(config: TrainConfig) -> list[str]:
    """List options that conflict with the method, one sentence each."""
    return _adapter_conflicts(config) + _partial_conflicts(config)


def _partial_options(config: TrainConfig) -> list[str]:
    return [name for name in type(config.partial).model_fields if config.changed(name)]


def _adapter_conflicts(config: TrainConfig) -> list[str]:
    if config.has_adapter():
        return []
    method = config.model.method
    advice = "set with_lora" if method == "partial" else "set method to lora"
    found = [
        f"{config.provenance[name]}: {name} is an adapter option and method is {method}: remove it, or {advice}"
        for name in type(config.adapter).model_fields
        if config.changed(name) and not config.provenance[name].startswith("preset")
    ]
    if config.changed("base_weights"):
        found.append(f"base_weights: is for the frozen weights under an adapter, and method is {method}: remove it")
    if config.run.merge_lora:
        found.append(f"merge_lora: there is no adapter to merge with method {method}: remove it")
    return found


def _partial_conflicts(config: TrainConfig) -> list[str]:
    partial, chosen = config.partial, _partial_options(config)
    if config.model.method != "partial":
        method = config.model.method
        return [f"{name}: is used with method partial, and method is {method}: remove one of them" for name in chosen]
    found = []
    if not any(name != "with_lora" for name in chosen):
        found.append(
            "method partial: nothing is unfrozen: set unfreeze_encoder_last, unfreeze_decoder_last, unfreeze_head, "
            "unfreeze_language_adapters, train_norms or train_bias"
        )
    if config.model.freeze_encoder and partial.unfreeze_encoder_last:
        found.append("freeze_encoder and unfreeze_encoder_last contradict each other: keep one")
    if partial.train_bias and config.changed("bias") and config.adapter.bias != "all":
        found.append(f"train_bias trains all biases, and bias is {config.adapter.bias}: keep one")
    return found
