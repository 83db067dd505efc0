"""What of a corpus fits a Parakeet, and its tokens."""

import itertools
from pathlib import Path

import pytest

from eartune.errors import InputError
from eartune.families.parakeet.load import find, load
from eartune.families.parakeet.model import ParakeetModel
from eartune.manifest import Utterance
from eartune.speech_model import DecodeOptions, Spoken


@pytest.fixture(scope="module")
def speech(tiny_nemo: dict[str, Path]) -> ParakeetModel:
    return load(find(str(tiny_nemo["tdt"])))


def row(text: str, duration_s: float = 2.0) -> Utterance:
    return Utterance(audio=Path("a.wav"), text=text, duration_s=duration_s, language="en")


def test_labels_are_the_texts_tokens(speech: ParakeetModel) -> None:
    labels = speech.transcripts([row("check the oil")]).labels([Spoken(0, 0.0, 2.0)], timestamps=False)
    assert labels.targets == labels.decoder_input_ids
    assert speech.tokenizer.decode(labels.targets) == "check the oil"


@pytest.mark.parametrize(("duration_s", "positions"), [(0.01, 1), (0.08, 1), (0.1, 2), (1.0, 13), (10.0, 125)])
def test_positions_are_counted_as_the_encoder_makes_them(
    speech: ParakeetModel, duration_s: float, positions: int
) -> None:
    """Frames of 10 ms, halved three times and rounded up each time."""
    assert speech.num_frames(duration_s) == positions


def test_findings_name_what_does_not_fit(speech: ParakeetModel) -> None:
    text = "check the oil"
    num_tokens = len(speech.tokenizer(text, add_special_tokens=False).input_ids)
    fits, short, unknown, too_long = speech.findings(
        [row(text, num_tokens * 0.08), row(text, num_tokens * 0.08 - 0.09), row("☃ oil"), row(text, 41.0)]
    )
    assert fits is None
    assert short is not None
    assert f"text is {num_tokens} tokens" in short
    assert f"{num_tokens - 1} positions" in short
    assert unknown is not None
    assert "'☃'" in unknown
    assert too_long is not None
    assert "exceeds 40 s" in too_long


def test_a_token_that_repeats_needs_a_position_between(speech: ParakeetModel) -> None:
    (token,) = speech.tokenizer("4", add_special_tokens=False).input_ids[-1:]
    text = speech.tokenizer.decode([token] * 4)
    tokens = speech.tokenizer(text, add_special_tokens=False).input_ids
    repeated = sum(a == b for a, b in itertools.pairwise(tokens))
    assert repeated
    (finding,) = speech.findings([row(text, (len(tokens) + repeated - 1) * 0.08)])
    assert finding is not None
    assert f"{repeated} of them repeat" in finding


def test_what_it_cannot_do_is_refused(tiny_nemo: dict[str, Path], speech: ParakeetModel) -> None:
    with pytest.raises(InputError, match="Parakeet writes what is said"):
        load(find(str(tiny_nemo["tdt"])), task="translate")
    with pytest.raises(InputError, match="num_beams"):
        speech.transcribe_batch([], [], DecodeOptions(num_beams=2))
