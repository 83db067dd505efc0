"""Options of adapters: every field of PEFT's LoraConfig, under its own name and common aliases."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from eartune.config.options import Section, Texts, also


class AdapterSection(Section):
    """Adapter: low-rank adaptation with PEFT."""

    r: Annotated[int, Field(ge=1), also("lora_r", "rank")] = 16
    """Rank of the update."""
    lora_alpha: Annotated[float, Field(gt=0), also("alpha")] = 32
    """Scale of the update; it is multiplied by lora_alpha / r."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the adapter's input. Above 0 it costs time and memory."""
    target_modules: Annotated[Texts | None, also("lora_target_modules", "lora_targets")] = None
    """Modules to adapt: name endings, or one regular expression. By default all attention and feed-forward layers."""
    exclude_modules: Texts | None = None
    """Modules excluded from `target_modules`."""
    use_dora: bool = False
    """DoRA: train magnitude and direction separately."""
    use_rslora: bool = False
    """Scale by lora_alpha / sqrt(r), which keeps high ranks stable."""
    init_lora_weights: Annotated[bool | str, also("lora_init")] = True
    """Initialisation: true, gaussian, pissa, pissa_niter_N, olora, orthogonal, eva, corda, false (for tests)."""
    bias: Literal["none", "all", "lora_only"] = "none"
    """Biases that are trained with the adapter."""
    lora_bias: bool = False
    """Give the adapter's second matrix a bias."""
    modules_to_save: Texts | None = None
    """Modules trained in full and saved with the adapter (embed_tokens, layer_norm, ...)."""
    rank_pattern: Annotated[dict[str, int] | None, also("lora_rank_pattern")] = None
    """Ranks of individual modules, by name ending or regular expression."""
    alpha_pattern: Annotated[dict[str, float] | None, also("lora_alpha_pattern")] = None
    """Scales of individual modules, by name ending or regular expression."""
    layers_to_transform: tuple[int, ...] | None = None
    """Indexes of the layers to adapt."""
    layers_pattern: Texts | None = None
    """Name of the module list that `layers_to_transform` indexes (layers)."""
    trainable_token_indices: tuple[int, ...] | dict[str, Any] | None = None
    """Tokens whose embeddings are trained."""
    target_parameters: Texts | None = None
    """Parameters (not modules) to adapt."""
    ensure_weight_tying: bool = False
    """Keep tied weights tied when a tied layer is adapted."""
    runtime_config: Annotated[dict[str, Any] | None, also("lora_runtime_config")] = None
    """LoraRuntimeConfig, for example {ephemeral_gpu_offload: true}."""
    dora_ephemeral_offload: bool = False
    """Short for runtime_config {ephemeral_gpu_offload: true}."""
    eva_config: dict[str, Any] | None = None
    """EvaConfig, for init_lora_weights eva."""
    corda_config: dict[str, Any] | None = None
    """CordaConfig, for init_lora_weights corda."""
    loftq_config: dict[str, Any] | None = None
    """LoftQConfig, for init_lora_weights loftq."""
    lora_ga_config: dict[str, Any] | None = None
    """LoraGAConfig, for init_lora_weights lora_ga."""
    velora_config: dict[str, Any] | None = None
    """VeloraConfig: adapter inputs are stored compressed."""
    kasa_config: dict[str, Any] | None = None
    """KasaConfig: knowledge-aware singular-value adaptation."""
    monteclora_config: dict[str, Any] | None = None
    """MontecloraConfig: Monte Carlo low-rank adaptation."""
    use_bdlora: dict[str, Any] | None = None
    """BdLoraConfig: block-diagonal adapters."""
    arrow_config: dict[str, Any] | None = None
    """ArrowConfig: routing between adapters."""
    alora_invocation_tokens: tuple[int, ...] | None = None
    """Activated LoRA: tokens that switch the adapter on."""
    use_qalora: bool = False
    """QA-LoRA, for GPTQ bases."""
    qalora_group_size: Annotated[int, Field(ge=1)] = 16
    """Group size of QA-LoRA."""
    layer_replication: tuple[tuple[int, int], ...] | None = None
    """Ranges of layers to replicate."""
    fan_in_fan_out: bool = False
    """Weights are stored transposed."""
    megatron_config: dict[str, Any] | None = None
    """Megatron's TransformerConfig."""
    megatron_core: str = "megatron.core"
    """Megatron's core module."""
