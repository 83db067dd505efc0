"""Languages as prompts: which number a row is told by, the tags behind texts, what is drawn in training."""

from __future__ import annotations

import copy
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eartune.errors import InputError
from eartune.families.parakeet.load import load
from eartune.families.parakeet.model import ParakeetModel
from eartune.families.parakeet.prompts import Prompts, now_and_then_auto
from eartune.families.registry import family
from eartune.manifest import Utterance, read_manifest
from eartune.model import IGNORED, DecodeOptions, PlacedUtterance
from tests.tiny import write_speech
from tests.tiny_nemo import PROMPTS, write_tiny_nemo

ROW = {"audio": Path("a.wav"), "text": "check the oil", "duration_s": 4.0, "source": "rows:1"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ParakeetModel:
    return load(
        family("parakeet").find(str(write_tiny_nemo(tmp_path_factory.mktemp("model") / "model.nemo", "prompted")))
    )


def row(**fields: Any) -> Utterance:
    return Utterance(**ROW | fields)


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ({"language": "en"}, 0),
        ({"language": "en", "locale": "en-GB"}, 1),
        ({"language": "en", "locale": "en-AU"}, 0),
        # named with its region only
        ({"language": "ru"}, 4),
        ({"language": "fr", "locale": "fr-CA"}, 3),
        ({"language": "de", "extra": {"target_lang": "auto"}}, 5),
        ({"extra": {"target_lang": "en-GB"}}, 1),
        # neither known nor named: the model finds it out
        ({"language": "sw"}, 5),
        ({}, 5),
    ],
)
def test_a_row_is_told_by_its_region_its_language_or_auto(
    model: ParakeetModel, fields: dict[str, Any], number: int
) -> None:
    assert model.labeler.prompt_of(row(**fields)) == number


def test_a_manifest_keeps_the_region_of_a_language(tmp_path: Path) -> None:
    rows = [{"lang": "pt-BR"}, {"language": "en_gb"}, {"locale": "de"}, {"target_lang": "auto"}, {"lang": "auto"}]
    manifest = write_speech(tmp_path, count=1, language=None)
    given = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text("".join(json.dumps(given | each) + "\n" for each in rows), encoding="utf-8")
    found = read_manifest([manifest]).utterances
    assert [(u.language, u.locale) for u in found] == [
        ("pt", "pt-BR"), ("en", "en-GB"), ("de", None), (None, None), (None, None),
    ]  # fmt: skip


def test_the_prompt_stands_before_the_text_and_the_tag_behind_it(model: ParakeetModel) -> None:
    tokens = model.labeler.tokens(["check the oil"])[0]
    texts = ["check the oil", "check the oil", "", "check the oil <de-DE>"]
    rows = [row(text=text, language=language) for text, language in zip(texts, ("en", "fr", "en", "en"), strict=True)]
    encoded = model.transcripts(rows)
    labels = [encoded.labels([PlacedUtterance(index, 0.0, 1.0)], timestamps=False) for index in range(4)]
    vocabulary = model.tokenizer.get_vocab()
    # French has no tag among the tokens
    assert labels[0].decoder_input_ids == [0, *tokens, vocabulary["<en-US>"]]
    assert labels[1].decoder_input_ids == [3, *tokens]
    assert (labels[2].decoder_input_ids, labels[2].targets) == ([0], [IGNORED])
    assert labels[3].decoder_input_ids[-1] == vocabulary["<de-DE>"]
    assert labels[3].decoder_input_ids.count(vocabulary["<en-US>"]) == 0
    for label in labels:
        assert label.targets == [IGNORED, *label.decoder_input_ids[1:]]


def test_what_is_odd_about_languages_is_said(model: ParakeetModel) -> None:
    said = model.remarks([row(language="sw"), row(language="en"), row(language="fr")])
    assert said == [
        "1 row is in a language without a prompt in this model, and trained with the prompt 'auto': rows:1",
        "1 row is trained with a language tag after the text, as this model was; decoding removes it: rows:1",
    ]


def test_what_the_model_is_told_is_shown_with_its_region(model: ParakeetModel) -> None:
    said = model.describe_texts([row(language="de"), row(language="en"), row(language="en"), row()])
    assert said is not None
    assert said.endswith("; rows by language prompt: en-US 2, de-DE 1, auto 1")


def test_a_model_that_finds_no_language_out_must_be_told(tmp_path: Path) -> None:
    numbers = {name: number for name, number in PROMPTS.items() if name != "auto"}
    path = write_tiny_nemo(tmp_path / "model.nemo", "prompted", model_defaults__prompt_dictionary=numbers)
    model = load(family("parakeet").find(str(path)))
    nameless, strange, known = row(), row(language="sw"), row(language="en")
    for findings in (model.findings, partial(model.findings, purpose="decoding")):
        first, second, third = findings([nameless, strange, known])
        assert first is not None
        assert second is not None
        assert first.startswith("no language is given, and this model does not detect it: add --language; ")
        assert second.startswith("language 'sw' has no prompt in this model, which has en-US, en, ")
        assert third is None
    model.network.train()
    torch.testing.assert_close(now_and_then_auto(torch.tensor([1, 2]), None), torch.tensor([1, 2]))


def test_half_of_the_prompts_are_auto_in_training() -> None:
    torch.manual_seed(0)
    found = now_and_then_auto(torch.full((2000,), 2), 5)
    assert set(found.tolist()) == {2, 5}
    assert int((found == 5).sum()) == pytest.approx(1000, abs=100)


def test_a_folder_without_prompts_is_told_those_of_nvidia(model: ParakeetModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    again = load(family("parakeet").find(str(tmp_path / "model")))
    assert again.prompts == model.prompts
    (tmp_path / "model" / "processor_config.json").write_text("[", encoding="utf-8")
    with pytest.raises(InputError, match=r"processor_config\.json:1:2: is not valid JSON"):
        load(family("parakeet").find(str(tmp_path / "model")))


@pytest.mark.parametrize(
    ("written", "shown"), [("<en-US>", False), ("<en-GB>", False), ("<de-DE>", False), ("<ru-RU>", False), ("a", True)]
)
def test_tags_are_left_out_of_what_is_decoded(model: ParakeetModel, written: str, shown: bool) -> None:
    same = copy.deepcopy(model)
    with torch.no_grad():
        same.network.joint.head.bias[model.tokenizer.get_vocab()[written]] = 100.0
    clip = np.zeros(16_000, dtype=np.float32)
    (text,) = same.transcribe_batch([clip], [row(language="en")], DecodeOptions())
    assert set(text) == (set(written) if shown else set())


def test_a_model_without_prompts_has_none_for_a_language() -> None:
    assert Prompts({}, {}).number(row(language="en"), "en") is None
