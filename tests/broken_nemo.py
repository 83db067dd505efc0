"""Parakeets and Canaries written whole and broken, and put before the gate."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from eartune.audio import decode
from eartune.errors import EartuneError
from eartune.export.gate import Gate, ReferenceOutputs, Sample, check
from eartune.families._nemo.spec import known_config
from eartune.families.registry import exports_of
from eartune.model import DecodeOptions, Waveform
from eartune.runtimes.registry import open_runtime
from eartune.verbs.open_model import locate, open_located
from tests.lively_nemo import lively_model, varied_clips
from tests.tiny import clips_in


class Case:
    """A model with its .nemo file, clips, and what the model says of them."""

    def __init__(self, model: Any, archive: Path, clips: Sequence[Waveform]) -> None:
        self.model, self.archive = model, archive
        words = self.model.transcribe_batch(clips, clips_in(*["en"] * 3), DecodeOptions(max_length=224))
        assert all(words)
        self.sample = Sample(tuple(clips), tuple(words), ("en",) * 3, ("en",) * 3, {})
        self.said = ReferenceOutputs(tuple(words), (), None)

    @classmethod
    def lively(cls, folder: Path, kind: str) -> Case:
        """Return a random model that says something else of each clip."""
        return cls(lively_model(folder, kind), folder / f"{kind}.nemo", varied_clips(3))

    @classmethod
    def trained(cls, shared: Path, kind: str) -> Case:
        """Return a tiny model that was trained: of a random one, transformers may write on without end."""
        name = kind if kind == "canary" else f"parakeet-{kind}"
        folder = shared / "models" / "nemo-tiny"
        located = locate(str(folder / f"{name}.nemo"), language="en")
        clips = [decode(path) for path in sorted((folder / "audio" / name).glob("*.wav"))[:3]]
        return cls(open_located(located), folder / f"{name}.nemo", clips)

    def write(self, form: str, folder: Path, model: Any = None) -> Path:
        exporter = exports_of(self.model.family).formats[form]
        folder.mkdir()
        exported = folder / (exporter.declared.file_name or "")
        exporter.write(model or self.model, exported, "float32", self.archive)
        return exported

    def judge(self, exported: Path) -> Gate:
        def opener(path: Path) -> Any:
            return open_runtime(path, family=self.model.family, read_nemo_config=known_config)

        return check(exported, opener, sample=self.sample, reference_outputs=self.said, quantization="float32")

    def refused(self, exported: Path) -> str:
        try:
            return "; ".join(self.judge(exported).failures)
        except EartuneError as error:
            return str(error)

    def changed(self, name: str) -> Any:
        """Return the model with a transposed matrix, or with the answers of its head shifted by one token."""
        model = copy.copy(self.model)
        model.network = copy.deepcopy(self.model.network)
        with torch.no_grad():
            if name == "transposed":
                layers = [m for m in model.network.modules() if isinstance(m, nn.Linear) and m.weight.std() > 0]
                square = [m.weight for m in layers if m.weight.shape[0] == m.weight.shape[1]]
                for weight in square:
                    weight.copy_(weight.clone().T)
            else:
                for tensor in _head(model.network).parameters():
                    tensor.copy_(tensor.clone().roll(1, 0))
        return model


def _head(network: Any) -> Any:
    if hasattr(network, "ctc_head"):
        return network.ctc_head
    return network.joint.head if hasattr(network, "joint") else network.proj_out


def ask_for_128_mels(folder: Path) -> None:
    """Have every file that tells the number of mel bins tell another one."""
    changed = 0
    for name, key in (("config.json", "features_size"), ("processor_config.json", "feature_size")):
        path = folder / name
        if not path.is_file():
            continue
        settings = json.loads(path.read_text())
        for place in (settings, settings.get("feature_extractor", {})):
            if key in place:
                place[key] = 128
                changed += 1
        path.write_text(json.dumps(settings))
    path = folder / "preprocessor_config.json"
    if path.is_file():
        path.write_text(json.dumps(json.loads(path.read_text()) | {"feature_size": 128}))
        changed += 1
    assert changed
