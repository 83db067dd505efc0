"""Recordings that cannot be trained on are told before training, and a late one ends it in a line, not a traceback."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

import eartune.verbs.dataset
from eartune.errors import InputError
from eartune.speech_checks import measure_utterances
from eartune.verbs.evaluate import evaluate
from eartune.verbs.train import train
from tests.tiny import write_speech

from .test_train import configure

RATE_HZ = 16_000


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    return write_speech(tmp_path / "speech", count=4)


def spoil(speech: Path, number: int, samples: np.ndarray) -> None:
    """Put other samples into a recording; its row declares no length any more."""
    soundfile.write(speech.parent / "audio" / f"{number}.wav", samples, RATE_HZ, subtype="FLOAT")
    rows = [json.loads(line) for line in speech.read_text(encoding="utf-8").splitlines()]
    speech.write_text("".join(json.dumps(row | {"duration": None}) + "\n" for row in rows), encoding="utf-8")


NOISE = np.random.default_rng(0).normal(0, 0.1, RATE_HZ).astype(np.float32)
ODD = [
    (0 * NOISE, "is silent"),
    (1e-5 * NOISE, "is silent"),
    (30_000 * NOISE, "they look like 16-bit integers"),
    (np.stack([NOISE, -NOISE], axis=1), "cancel one another"),
    (NOISE[:100], "faster than anyone speaks"),
]


def test_train_tells_all_of_it_before_it_writes(tiny_model: Path, tmp_path: Path) -> None:
    speech = write_speech(tmp_path / "speech", count=len(ODD) + 1)
    for number, (samples, _) in enumerate(ODD):
        spoil(speech, number, samples)
    with pytest.raises(InputError) as caught:
        train(configure(tiny_model, speech, tmp_path / "run", val=[]))
    _, *findings, _ = str(caught.value).splitlines()
    assert len(findings) == len(ODD)
    for number, (finding, (_, told)) in enumerate(zip(findings, ODD, strict=True), start=1):
        assert finding.startswith(f"{speech}:{number}: ")
        assert told in finding
    assert not (tmp_path / "run").exists()


def test_evaluate_leaves_it_out(tiny_model: Path, speech: Path, tmp_path: Path) -> None:
    spoil(speech, 2, 0 * NOISE)
    with pytest.raises(InputError, match=r"speech\.jsonl:3: .*is silent"):
        evaluate(str(tiny_model), data=[speech], out=tmp_path / "out")
    assert len(evaluate(str(tiny_model), data=[speech], out=tmp_path / "out", skip_bad=True).utterances) == 3


def test_a_recording_that_fails_in_the_loader_is_named_and_the_run_goes_on_once_it_is_mended(
    tiny_model: Path, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eartune.verbs.dataset, "measure_utterances", partial(measure_utterances, limit_s=0))
    good = soundfile.read(speech.parent / "audio" / "2.wav")[0]
    bad = good.copy()
    bad[100] = np.nan
    spoil(speech, 2, bad)
    options = {"val": [], "max_steps": 4, "save_steps": 1, "dataloader_num_workers": 1}
    config = configure(tiny_model, speech, tmp_path / "run", **options)
    with pytest.raises(InputError) as caught:
        train(config)
    message = str(caught.value)
    assert message.startswith(f"{speech}:3: {speech.parent / 'audio' / '2.wav'}: holds samples that are not numbers")
    assert "\n" not in message
    spoil(speech, 2, good)
    assert train(config).steps == 4


@pytest.mark.parametrize("kind", ["whisper", "ctc", "canary"])
def test_texts_without_any_word_are_refused(
    kind: str, tiny_model: Path, tiny_nemo: dict[str, Path], speech: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in speech.read_text().splitlines()]
    speech.write_text("".join(json.dumps(row | {"text": " "}) + "\n" for row in rows))
    base = tiny_model if kind == "whisper" else tiny_nemo[kind]
    family = {"whisper": "whisper", "canary": "canary"}.get(kind, "parakeet")
    with pytest.raises(InputError, match=r"none of the 4 rows .*:1; check the column|no row has a text"):
        train(configure(base, speech, tmp_path / "run", family=family))
    assert not (tmp_path / "run").exists()
