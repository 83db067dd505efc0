"""What of a corpus fits a Parakeet, and its tokens."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eartune.errors import InputError
from eartune.families.parakeet.heads import Heads
from eartune.families.parakeet.load import load
from eartune.families.parakeet.model import ParakeetModel
from eartune.families.registry import family
from eartune.manifest import Segment, Utterance
from eartune.model import DecodeOptions, PlacedUtterance


@pytest.fixture(scope="module")
def models(tiny_nemo: dict[str, Path]) -> dict[str, ParakeetModel]:
    return {kind: load(family("parakeet").find(str(tiny_nemo[kind]))) for kind in ("ctc", "rnnt", "tdt", "hybrid")}


@pytest.fixture(scope="module")
def model(models: dict[str, ParakeetModel]) -> ParakeetModel:
    return models["tdt"]


def row(text: str, duration_s: float = 2.0, **also: Any) -> Utterance:
    return Utterance(Path("a.wav"), text, duration_s, language="en", source="t.jsonl:7", **also)


def test_labels_are_the_texts_tokens(model: ParakeetModel) -> None:
    labels = model.transcripts([row("check the oil")]).labels([PlacedUtterance(0, 0.0, 2.0)], timestamps=False)
    assert labels.targets == labels.decoder_input_ids
    assert model.tokenizer.decode(labels.targets) == "check the oil"


@pytest.mark.parametrize(("duration_s", "positions"), [(0.01, 1), (0.08, 1), (0.1, 2), (1.0, 13), (10.0, 125)])
def test_positions_are_counted_as_the_encoder_makes_them(
    model: ParakeetModel, duration_s: float, positions: int
) -> None:
    """Frames of 10 ms, halved three times and rounded up each time."""
    assert model.num_frames(duration_s) == positions


def test_findings_name_what_does_not_fit(model: ParakeetModel) -> None:
    fits, unknown, symbol, too_long, too_short = model.findings(
        [row("check the oil"), row("☃ oil"), row("<|en|> check the oil"), row("oil", 41.0), row("oil", 0.001)]
    )
    assert fits is None
    assert unknown is not None
    assert "'☃'" in unknown
    assert symbol is not None
    assert "holds '<|en|>', the symbol of a language" in symbol
    assert too_long is not None
    assert "exceeds 40 s" in too_long
    assert too_short is not None
    assert "0 encoder frames, too short" in too_short


def test_ctc_alone_has_its_rule_of_length(models: dict[str, ParakeetModel]) -> None:
    text = "check the oil"
    num_tokens = len(models["ctc"].tokenizer(text, add_special_tokens=False).input_ids)
    fits, short = models["ctc"].findings([row(text, num_tokens * 0.08), row(text, num_tokens * 0.08 - 0.09)])
    assert fits is None
    assert short is not None
    assert f"text is {num_tokens} tokens" in short
    assert f"CTC needs {num_tokens} frames" in short
    assert f"has {num_tokens - 1} encoder frames" in short
    assert "of another recording, or the clip is truncated" in short
    for kind in ("rnnt", "tdt", "hybrid"):
        assert models[kind].findings([row(text, 0.08)]) == [None]


def test_a_token_that_repeats_needs_a_frame_between(models: dict[str, ParakeetModel]) -> None:
    tokenizer = models["ctc"].tokenizer
    (token,) = tokenizer("4", add_special_tokens=False).input_ids[-1:]
    text = tokenizer.decode([token] * 4)
    tokens = tokenizer(text, add_special_tokens=False).input_ids
    repeated = sum(a == b for a, b in itertools.pairwise(tokens))
    assert repeated
    (finding,) = models["ctc"].findings([row(text, (len(tokens) + repeated - 1) * 0.08)])
    assert finding is not None
    assert f"{repeated} of them equal the one before" in finding
    assert "are single characters" in finding


def test_a_length_that_durations_cannot_fill_is_a_finding(model: ParakeetModel) -> None:
    encoder = replace(model.labeler, heads=Heads(ctc_weight=0.0, durations=(0, 2, 4)))
    odd, even = encoder.findings([row("oil", 0.4), row("oil", 0.48)])
    assert odd is not None
    assert "5 encoder frames, which this TDT's tokens and blanks, of 0, 2, 4 frames" in odd
    assert even is None


def test_remarks_tell_how_odd_rows_are_trained(models: dict[str, ParakeetModel]) -> None:
    said, crowded = row("check the oil"), row("check the oil", 0.2)
    empty, timed = row(""), row("oil", segments=(Segment(0.0, 1.0, "oil"),))
    assert models["ctc"].remarks([said]) == []
    (remark,) = models["ctc"].remarks([said, empty, empty])
    assert remark == "2 rows have an empty text and are trained as no speech, the first: t.jsonl:7"
    assert models["ctc"].remarks([timed]) == ["1 row has times, which are not used to train a Parakeet: t.jsonl:7"]
    (remark,) = models["rnnt"].remarks([crowded, said])
    assert remark.startswith("1 row has more tokens than encoder frames, and is trained")
    (remark,) = models["hybrid"].remarks([crowded, crowded, said])
    assert remark.startswith("2 rows have more tokens (and blanks between repeated ones) than encoder frames")
    assert "not the CTC head" in remark


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        (
            {"source_lang": "en", "target_lang": "de"},
            "a translation from 'en' into 'de', and a Parakeet only transcribes",
        ),
        ({"source_lang": "English", "target_lang": "en-US"}, None),
        ({"target_lang": "de"}, "a translation from 'en' into 'de'"),
        ({"target_lang": "en"}, None),
        ({"taskname": "s2t_translation"}, "the row's task is 's2t_translation'"),
        ({"task": "asr"}, None),
        ({"task": "dictation", "pnc": "no"}, None),
    ],
)
def test_a_translation_is_no_transcript(model: ParakeetModel, extra: dict[str, str], what: str | None) -> None:
    (finding,) = model.findings([row("check the oil", extra=extra)])
    assert model.findings([row("check the oil", extra=extra)], "decoding") == [finding]
    assert (finding is None) if what is None else (what in (finding or ""))


@pytest.mark.parametrize("language", ["cnh", "nan", "en", None])
def test_any_language_will_do(model: ParakeetModel, language: str | None) -> None:
    spoken = replace(row("check the oil"), language=language)
    assert model.findings([spoken]) == [None]
    assert model.findings([spoken], "decoding") == [None]


def test_what_it_cannot_do_is_refused(tiny_nemo: dict[str, Path], model: ParakeetModel) -> None:
    with pytest.raises(InputError, match="Parakeet only transcribes"):
        load(family("parakeet").find(str(tiny_nemo["tdt"])), task="translate")
    with pytest.raises(InputError, match="num_beams"):
        model.transcribe_batch([], [], DecodeOptions(num_beams=2))
