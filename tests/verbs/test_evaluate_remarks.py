"""What evaluate says of odd speech, as its last lines and in scores.json; in which language a text is scored."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from eartune.cli import main
from eartune.cli.show import show_evaluation
from eartune.manifest import Utterance
from eartune.model import DecodeOptions
from eartune.reporting import Terminal
from eartune.runtimes.runtime import Task
from eartune.verbs.evaluate import evaluate
from eartune.verbs.train import train
from eartune.verbs.transcriber import ExportedModel, open_transcriber
from tests.verbs.test_train import configure

SHORT = DecodeOptions(max_length=8)


def with_texts(speech: Path, *texts: str) -> Path:
    """Write the first rows of a manifest again, with other texts."""
    rows = [json.loads(line) for line in speech.read_text(encoding="utf-8").splitlines()]
    path = speech.parent / f"{abs(hash(texts))}.jsonl"
    lines = [json.dumps(row | {"text": text}) for row, text in zip(rows, texts, strict=False)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_remarks_are_the_last_lines_and_in_scores(
    tiny_model: Path, tiny_speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = with_texts(tiny_speech, "good [noise]", "[noise]")
    assert main(["evaluate", str(tiny_model), "--data", str(data), "--out", str(tmp_path), "--language", "en"]) == 0
    remarks = json.loads((tmp_path / "scores.json").read_text())["remarks"]
    assert remarks[0] == "2 of 2 references hold text in brackets ([noise]), not scored"
    assert any(remark.startswith("1 of 1 clips without speech have words in the hypothesis") for remark in remarks)
    last = capsys.readouterr().out.splitlines()[-len(remarks) :]
    assert last == [f"note: {remark}" for remark in remarks]


def test_a_corpus_without_words_shows_no_rate(tiny_model: Path, tiny_speech: Path, tmp_path: Path) -> None:
    data = with_texts(tiny_speech, "[noise]", "...")
    found = evaluate(str(tiny_model), data=[data], out=tmp_path, options=SHORT, language="en")
    shown = io.StringIO()
    show_evaluation(found, console=Console(file=shown, width=200))
    assert "%" not in "".join(line for line in shown.getvalue().splitlines() if "WER" in line or "CER" in line)
    assert "no reference words" in shown.getvalue()
    assert "the references hold no words, so there is no error rate" in shown.getvalue().splitlines()[-1]
    rows = [json.loads(line) for line in (tmp_path / "hypotheses.jsonl").read_text().splitlines()]
    assert [row["wer"] for row in rows] == [None, None]


def test_a_run_that_translates_is_validated_and_evaluated_in_english(
    tiny_model: Path, tiny_speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = with_texts(tiny_speech, "[music]", "...")
    options = {"method": "full", "max_steps": 1, "task": "translate", "lang": "ja", "val": [str(silent)]}
    trained = train(configure(tiny_model, tiny_speech, tmp_path / "run", **options), reporter=Terminal())
    assert 0 <= trained.best["eval_wer"] <= 1
    assert "validation: the references hold no words" in capsys.readouterr().err
    rows = [json.loads(line) | {"lang": "ja"} for line in tiny_speech.read_text().splitlines()]
    data = tiny_speech.parent / "japanese.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    found = evaluate(str(trained.path), data=[data], out=tmp_path / "out", options=SHORT, against_base=False)
    assert {utterance.language for utterance in found.tuned.scores.utterances} == {"en"}
    assert found.tuned.scores.utterances[0].words.reference_length == 4


@pytest.mark.parametrize(("task", "language"), [("translate", "en"), ("transcribe", "ja")])
def test_an_export_that_translates_is_scored_in_english(task: Task, language: str, tiny_model: Path) -> None:
    spoken = Utterance(audio=Path("x.wav"), text="x", duration_s=1.0, language="ja")
    exported = ExportedModel(tiny_model, "openai", "whisper", None, task)
    with open_transcriber(exported, batch_size=1, options=SHORT, precision="fp32") as opened:
        assert opened.text_language(spoken) == language
