"""BatchNorms whose statistics must not move while others train.

A frozen BatchNorm in training mode still averages its batches into its running statistics, so that a layer that nobody
trains answers differently afterwards, and an adapter saved without the statistics does not fit its base model.
"""

from __future__ import annotations

from torch import nn


def fixed_batch_norms(network: nn.Module, *, all_weights_trained: bool) -> tuple[nn.Module, ...]:
    """List the BatchNorms that stay in evaluation mode through training.

    Statistics move only where all of a model is trained, and there not in parts that are frozen. With adapters and in
    partial training they stay even where weights and biases of the norms are trained: batches of few utterances
    estimate them worse than the base model's corpus did.
    """
    return tuple(
        module
        for module in network.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        and not (all_weights_trained and any(parameter.requires_grad for parameter in module.parameters()))
    )
