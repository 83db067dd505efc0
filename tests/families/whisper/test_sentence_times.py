"""Times of sentences from the manifest's rows into what every kind of window trains."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eartune.config.window import WindowSection
from eartune.families.whisper.load import find, load
from eartune.families.whisper.model import WhisperModel
from eartune.manifest import Segment, Utterance
from eartune.training.batching.batches import SpeechDataset
from eartune.training.batching.plan import Limits, plan_epoch
from eartune.training.batching.windows import Window, WindowRules
from eartune.verbs.train import train
from tests.tiny import write_speech
from tests.verbs.test_train import configure


def rules(**options: Any) -> WindowRules:
    """Return rules of packed windows with times, half of the clips alone in theirs."""
    usual = {"window": "packed", "packed_timestamps": 1.0, "packed_alone": 0.5, "short_full": 0.0}
    return WindowRules(WindowSection(**usual | options), 30.0, 444, 0.02)


SENTENCES = (Segment(0.3, 1.1, "Good morning."), Segment(2.46, 3.96, "It is cold."))
TIMED = Utterance(Path("clip.wav"), "Good morning. It is cold.", 4.0, "en", segments=SENTENCES)
UNTIMED = replace(TIMED, segments=())
SILENT = replace(TIMED, text="", segments=())


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> WhisperModel:
    return load(find(str(tiny_model)))


def windows(dataset: SpeechDataset, rules: WindowRules) -> list[Window]:
    steps = plan_epoch(dataset.clips(), rules, num_steps=2, by_count=True, limits=Limits(), seed=(0, 0))
    return [window for step in steps for batch in step for window in batch.windows]


def trained(model: WhisperModel, rows: Sequence[Utterance], rules: WindowRules) -> list[str]:
    """Return what each window of an epoch teaches to write, as tokens."""
    dataset = SpeechDataset(rows, model)
    found = []
    for window in windows(dataset, rules):
        labels = dataset.transcripts.labels(window.clips, timestamps=window.timestamps)
        found.append(model.tokenizer.decode(labels.decoder_input_ids, decode_with_timestamps=True))
    return found


@pytest.mark.parametrize("kind", ["padded", "packed", "short"])
def test_every_kind_of_window_trains_the_times_within_clips(model: WhisperModel, kind: str) -> None:
    rows = [TIMED] * 8
    found = trained(model, rows, rules(window=kind))
    assert sum(text.count("<|") - 3 for text in found) == 4 * len(rows)
    assert sum(text.count(" Good morning.<|") for text in found) == len(rows)
    alone = "<|startoftranscript|><|en|><|transcribe|><|0.30|> Good morning.<|1.10|><|2.46|> It is cold.<|3.96|>"
    assert alone in found


@pytest.mark.parametrize(("kind", "timestamps"), [("padded", 1.0), ("short", 1.0), ("packed", 0.0)])
def test_without_times_or_windows_with_times_the_text_is_trained(
    model: WhisperModel, kind: str, timestamps: float
) -> None:
    rows = [UNTIMED if timestamps else TIMED] * 6
    found = trained(model, rows, rules(window=kind, packed_timestamps=timestamps))
    assert sum(text.count(" Good morning. It is cold.") for text in found) == len(rows)
    assert all("<|notimestamps|>" in text for text in found)


def test_half_of_the_clips_without_speech_have_a_packed_window_to_themselves(model: WhisperModel) -> None:
    dataset = SpeechDataset([TIMED] * 20 + [SILENT] * 60, model)
    alone = [window for window in windows(dataset, rules(packed_alone=0.0)) if len(window.clips) == 1]
    assert 20 <= len(alone) <= 40
    assert all(window.clips[0].index >= 20 for window in alone)


@pytest.mark.parametrize(("share", "remarks"), [(0.5, 0), (0.0, 1)])
def test_times_that_the_options_leave_untrained_are_told(
    share: float, remarks: int, tiny_model: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in write_speech(tmp_path, count=3).read_text().splitlines()]
    rows[0]["segments"] = [{"start": 0.1, "end": 0.9, "text": rows[0]["text"]}]
    (tmp_path / "timed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"packed_timestamps": share, "val": [], "max_steps": 1}
    trained = train(configure(tiny_model, tmp_path / "timed.jsonl", tmp_path / "run", **options))
    said = "train: times of sentences in rows (1) are not trained, as packed_timestamps is 0"
    assert [remark for remark in trained.remarks if "times of sentences" in remark] == [said][:remarks]
