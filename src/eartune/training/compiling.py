"""torch.compile for the layers of encoder and decoder: one graph for all of them and for all lengths."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from eartune.model import Blocks, block_of


def compile_layers(network: nn.Module, blocks: Blocks, *, backend: str = "inductor") -> int:
    """Compile each layer of encoder and decoder on first use; return the number of layers.

    Layers of one kind share a graph, which takes any number of rows, positions and tokens: batches differ in all three.
    """
    stacks = [block_of(network, name) for name in (blocks.encoder_layers, blocks.decoder_layers) if name is not None]
    layers = [layer for stack in stacks for layer in stack.children()]
    for layer in layers:
        layer.compile(backend=backend, dynamic=True)
    return len(layers)


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run without compiled graphs inside the context: decoding has new shapes at each token."""
    with torch.compiler.set_stance("force_eager"):
        yield
