"""Runs on the tiny models that NeMo trained, with texts that none of them has learnt yet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eartune.config import TrainConfig, resolve_config
from eartune.config.resolve import override

KINDS = ["canary", "parakeet-ctc", "parakeet-rnnt", "parakeet-tdt", "parakeet-hybrid"]


def archive_of(shared: Path, kind: str) -> Path:
    return shared / "models" / "nemo-tiny" / f"{kind}.nemo"


def clips_of(shared: Path, kind: str) -> list[dict[str, Any]]:
    """Return the manifest rows of the eight clips a model was trained on, with the full paths of their audio."""
    folder = shared / "models" / "nemo-tiny" / "audio" / kind
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    return [row | {"audio_filepath": str(folder / row["audio_filepath"])} for row in rows]


def write_exchanged(shared: Path, kind: str, folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    """Write a manifest in which each clip has the text and language of another, and return it with its rows."""
    clips = clips_of(shared, kind)
    spoken = [
        {name: row[name] for name in row.keys() & {"text", "lang", "source_lang", "target_lang"}} for row in clips
    ]
    rows = [clip | spoken[(number + 3) % len(clips)] for number, clip in enumerate(clips)]
    manifest = folder / "exchanged.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return manifest, rows


def configured(shared: Path, kind: str, manifest: Path, out: Path, **options: Any) -> TrainConfig:
    """Configure a run of whole-manifest steps in float32."""
    given = {
        "base_model": str(archive_of(shared, kind)),
        "train": [str(manifest)],
        "output_dir": str(out),
        "per_device_train_batch_size": 8,
        "precision": "fp32",
        "dataloader_num_workers": 0,
        **options,
    }
    return resolve_config(kind.partition("-")[0], overrides=[override(name, value) for name, value in given.items()])
