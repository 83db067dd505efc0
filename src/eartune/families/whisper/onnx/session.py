"""Whisper's two ONNX graphs in onnxruntime, laid out as Optimum writes them.

B batch, M mel bins, T frames, P positions of 20 ms, D model width, U tokens, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from eartune.errors import InputError

ENCODER, DECODER = "encoder_model.onnx", "decoder_model_merged.onnx"
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

Floats: TypeAlias = npt.NDArray[np.float32]
# Any: OrtValues, on the device; onnxruntime describes no types
OnDevice: TypeAlias = Any
Past: TypeAlias = dict[str, OnDevice]


class WhisperGraphs:
    """The graphs of a folder; `num_mels` and `num_frames` are the size of the encoder's input."""

    def __init__(self, folder: Path, *, device: str, num_threads: int) -> None:
        self._device = device
        self._encoder = _session(folder / ENCODER, device, num_threads)
        self._decoder = _session(folder / DECODER, device, num_threads)
        _, self.num_mels, self.num_frames = self._encoder.get_inputs()[0].shape
        self._past = {each.name: each.shape for each in self._decoder.get_inputs() if each.name.startswith("past_")}

    def encode(self, features_BMT: Floats) -> OnDevice:
        """Return the states [B, P, D]."""
        binding = self._encoder.io_binding()
        binding.bind_cpu_input("input_features", features_BMT)
        binding.bind_output("last_hidden_state", self._device)
        self._encoder.run_with_iobinding(binding)
        return binding.get_outputs()[0]

    def decode(self, tokens_BU: npt.NDArray[np.int64], states_BPD: OnDevice, past: Past | None) -> tuple[Floats, Past]:
        """Return the logits [B, U, V] after each token, and the new past; `past` is None for the first tokens."""
        binding = self._decoder.io_binding()
        binding.bind_cpu_input("input_ids", np.ascontiguousarray(tokens_BU))
        binding.bind_ortvalue_input("encoder_hidden_states", states_BPD)
        binding.bind_cpu_input("use_cache_branch", np.array([past is not None]))
        for name, value in (past or self._no_past()).items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_output("logits")
        for name in self._past:
            binding.bind_output(name.replace("past_key_values", "present"), self._device)
        self._decoder.run_with_iobinding(binding)
        logits, *present = binding.get_outputs()
        found = dict(zip(self._past, present, strict=True))
        if past is not None:
            # the part of cross-attention never changes, and is not returned again
            found |= {name: value for name, value in past.items() if ".encoder." in name}
        return logits.numpy(), found

    def _no_past(self) -> Past:
        from onnxruntime import OrtValue  # noqa: PLC0415  an optional extra

        return {
            name: OrtValue.ortvalue_from_numpy(np.zeros((0, num_heads, 0, width), dtype=np.float32), self._device)
            for name, (_, num_heads, _, width) in self._past.items()
        }


def _session(path: Path, device: str, num_threads: int) -> Any:
    import onnxruntime  # noqa: PLC0415  an optional extra

    provider = PROVIDERS.get(device)
    if provider not in onnxruntime.get_available_providers():
        raise InputError(f"this onnxruntime cannot run on {device}; pip install onnxruntime-gpu, or use cpu")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=[provider])
