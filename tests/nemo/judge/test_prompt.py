"""Canary's prompts and answers, token by token beside NeMo's own `canary2` formatter."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from eartune.families.canary.load import load
from eartune.families.canary.model import CanaryModel
from eartune.families.registry import family
from eartune.manifest import read_manifest
from eartune.model import IGNORED, PlacedUtterance
from tests.nemo.judge.tuning import archive_of, clips_of

nemo_asr = pytest.importorskip("nemo.collections.asr", reason="NeMo is not installed here: make test-nemo")
from lhotse import MonoCut, SupervisionSegment  # noqa: E402  it comes with NeMo
from nemo.collections.common.prompts.canary2 import canary2  # noqa: E402

pytestmark = pytest.mark.nemo

# every combination of them is asked for; a pair of unlike languages is a translation
SLOTS: dict[str, list[Any]] = {
    "source_lang": ["en", "de"],
    "target_lang": ["en", "de"],
    "pnc": ["yes", "no"],
    "itn": ["yes", "no"],
    "timestamp": ["yes", "no"],
    "diarize": ["yes", "no"],
    "decodercontext": ["", "good morning"],
    "emotion": ["<|emo:undefined|>", "<|emo:happy|>"],
}
# ways to write one and the same thing
SPELLINGS: list[dict[str, Any]] = [
    {"pnc": "true", "itn": "False", "timestamp": "1", "diarize": "0"},
    {"pnc": "pnc", "itn": "noitn", "timestamp": "timestamp", "diarize": "nodiarize"},
    {"pnc": "<|nopnc|>", "itn": "<|itn|>", "timestamp": "<|timestamp|>", "diarize": "<|diarize|>"},
    {"source_lang": "de", "target_lang": "en", "pnc": "True"},
    {"decodercontext": "  Seven, red  birds. ", "pnc": "no"},
]
TEXTS = ["", "seven red birds", "Die Katze", "sieben  rote katze", "open the door."]


@pytest.fixture(scope="module")
def theirs(shared_dir: Path) -> Any:
    return nemo_asr.models.ASRModel.restore_from(str(archive_of(shared_dir, "canary")), map_location="cpu").eval()


@pytest.fixture(scope="module")
def ours(shared_dir: Path) -> CanaryModel:
    return load(family("canary").find(str(archive_of(shared_dir, "canary"))))


def rows_of(shared: Path) -> list[dict[str, Any]]:
    clip = clips_of(shared, "canary")[0] | {"source_lang": "en", "target_lang": "en"}
    combinations = [dict(zip(SLOTS, values, strict=True)) for values in itertools.product(*SLOTS.values())]
    said = [{"pnc": "yes", "text": text} for text in TEXTS if text]
    return [clip | changes for changes in [*combinations, *SPELLINGS, *said]]


def test_every_combination_of_slots_is_written_as_nemo_writes_it(
    theirs: Any, ours: CanaryModel, shared_dir: Path, tmp_path: Path
) -> None:
    rows = rows_of(shared_dir)
    assert len(rows) > 256
    manifest = tmp_path / "rows.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    utterances = read_manifest([manifest]).utterances
    encoded = ours.transcripts(utterances)
    asked = set()
    for number, row in enumerate(rows):
        expected = canary2(cut_of(row), theirs.prompt)
        prompt, answer = expected["context_ids"].tolist(), expected["answer_ids"].tolist()
        assert list(encoded.prompts[number]) == prompt, row
        assert ours.labeler.prompt(utterances[number]) == prompt, row
        assert list(encoded.texts[number]) == answer, row
        asked.add(tuple(prompt))
        # in training NeMo reads all but the last token, and answers all but the first; of these the prompt is masked
        end = theirs.tokenizer.eos_id
        whole = [*prompt, *answer, end]
        labels = encoded.labels([PlacedUtterance(number, 0.0, 1.0)], timestamps=False)
        assert labels.decoder_input_ids == whole[:-1]
        assert labels.targets == [IGNORED] * (len(prompt) - 1) + whole[len(prompt) :]
    assert len(asked) >= 256


def cut_of(row: dict[str, Any]) -> MonoCut:
    """Return a row as NeMo's dataloader holds it (nemo_adapters.py): what is not a field of its own is `custom`."""
    own = {"audio_filepath", "duration", "text"}
    said = SupervisionSegment(
        id="row", recording_id="row", start=0, duration=row["duration"], text=row["text"], language=row["target_lang"]
    )
    custom = {name: value for name, value in row.items() if name not in own}
    return MonoCut(id="row", start=0, duration=row["duration"], channel=0, supervisions=[said], custom=custom)
