"""summary.json of a run: read as it was written, whatever its age; a damaged one is refused in one line."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from eartune.errors import InputError
from eartune.run_dir import RunDir, RunSummary, read_summary, write_summary
from tests.old_records import OTHER_VALUES, SUMMARY, changes, refusal_of


def read(folder: Path, content: Any) -> RunSummary | None:
    (folder / "summary.json").write_text(json.dumps(content), encoding="utf-8")
    return read_summary(RunDir(folder))


WRITTEN = {
    "with a validation": SUMMARY,
    "without": {**SUMMARY, "best": {}, "validations": []},
    "by loss alone": {**SUMMARY, "best": {"step": 2, "eval_loss": 1.5}, "merged": "merged"},
    "by the first version": {k: v for k, v in SUMMARY.items() if k not in ("waited_seconds", "remarks", "exported")},
    "with a key that is not known": {**SUMMARY, "energy_kwh": 0.1},
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_was_written_before_is_read_and_written_again_with_the_same_keys(name: str, tmp_path: Path) -> None:
    summary = read(tmp_path, WRITTEN[name])
    assert summary is not None
    write_summary(RunDir(tmp_path), summary)
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8")) == WRITTEN[name]


def test_a_run_that_is_not_finished_has_none(tmp_path: Path) -> None:
    assert read_summary(RunDir(tmp_path)) is None


def test_the_best_validation_is_none_where_nothing_was_measured(tmp_path: Path) -> None:
    measured, not_measured = read(tmp_path, SUMMARY), read(tmp_path, {**SUMMARY, "best": {}})
    assert measured is not None
    assert measured.best is not None
    assert measured.best.to_json() == SUMMARY["best"]
    assert isinstance(measured.best.step, int)
    assert not_measured is not None
    assert not_measured.best is None


@pytest.mark.parametrize("value", OTHER_VALUES)
def test_any_key_that_is_missing_or_of_another_type_is_read_or_named_in_one_line(value: str, tmp_path: Path) -> None:
    for place, changed in changes(SUMMARY, OTHER_VALUES[value]):
        refusal = refusal_of(partial(read, tmp_path, changed))
        if refusal is not None:
            assert refusal.startswith(f"{tmp_path / 'summary.json'}: "), place
            assert place in refusal, place
            assert "\n" not in refusal, place


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "steps",
            "2",
            r"steps is '2', and should be a valid integer; delete the file, and the run ends again from its",
        ),
        ("best", {"eval_wer": 1.0}, r"has no best\.step"),
        ("validations", [{"step": 2}], r"has no validations\[0\]\.eval_loss"),
        ("remarks", [3], r"remarks\[0\] is 3, and should be a valid string"),
    ],
)
def test_what_is_wrong_is_named_with_what_it_should_be(key: str, value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"summary\.json: {message}"):
        read(tmp_path, {**SUMMARY, key: value})
