"""Languages by any of their names, and those that Whisper has no token for, from training to every later command."""

import json
from pathlib import Path

import pytest

from eartune.config import resolve_config
from eartune.config.resolve import override
from eartune.errors import InputError
from eartune.origin import read_origin
from eartune.verbs.evaluate import evaluate
from eartune.verbs.merge import merge
from eartune.verbs.open_model import locate, open_located
from eartune.verbs.train import train
from eartune.verbs.transcribe import transcribe
from tests.tiny import write_speech


@pytest.fixture(scope="module")
def hakha(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest in a language that Whisper does not know."""
    return write_speech(tmp_path_factory.mktemp("hakha"), count=2, language="cnh")


@pytest.fixture(scope="module")
def run(tiny_model: Path, hakha: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "cnh"
    options = {
        "train": [str(hakha)],
        "base_model": str(tiny_model),
        "language_token": "cnh=Burmese",
        "output_dir": str(folder),
        "max_steps": 1,
        "report_to": ["none"],
    }
    trained = train(resolve_config(overrides=[override(name, value) for name, value in options.items()]))
    expected = f"train: 2 rows are in cnh and are trained with the token <|my|>, the first: {hakha}:1"
    assert trained.remarks == (expected,)
    return folder


def test_a_run_and_what_is_merged_remember_the_stand_in(run: Path, tmp_path: Path) -> None:
    merge(str(run), out=tmp_path / "merged")
    for spec in (run, tmp_path / "merged"):
        located = locate(str(spec))
        assert located.language_token == "cnh=Burmese"
    origin = read_origin(tmp_path / "merged")
    assert origin is not None
    assert origin.language_token == "cnh=Burmese"
    model = open_located(locate(str(run)))
    assert model.labeler.prompt("cnh")[1] == model.tokenizer.convert_tokens_to_ids("<|my|>")


def test_rows_in_it_are_measured_beside_the_base_model(run: Path, hakha: Path, tmp_path: Path) -> None:
    evaluation = evaluate(str(run), data=[hakha], out=tmp_path)
    assert evaluation.base is not None
    rows = [json.loads(line) for line in (tmp_path / "hypotheses.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["lang"] for row in rows} == {"cnh"}


def test_any_name_of_a_language_transcribes_alike(tiny_model: Path, tiny_speech: Path) -> None:
    names = ["en", "English", "eng", "en-US", "<|en|>"]
    assert {locate(str(tiny_model), language=name).language for name in names} == {"en"}
    clip = tiny_speech.parent / "audio" / "0.wav"
    assert transcribe(str(tiny_model), [clip], language="English")[0].text


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"language": "Englsh"}, "language 'Englsh' is not known"),
        ({"language": "cnh"}, "language 'cnh' is not one the model has a token for"),
        ({"language": "en", "language_token": "tok"}, "has no token for 'tok' either"),
        ({"language": "en", "language_token": "Rusian"}, "language_token: language 'Rusian' is not known"),
    ],
)
def test_what_the_model_cannot_hear_is_refused(
    tiny_model: Path, tiny_speech: Path, options: dict[str, str], reason: str
) -> None:
    with pytest.raises(InputError) as refused:
        transcribe(str(tiny_model), [tiny_speech.parent / "audio" / "0.wav"], **options)  # type: ignore[arg-type]
    assert reason in str(refused.value)
