"""What resume makes of the records in a run's folder, whole or damaged. Nothing is trained here."""

import dataclasses
import json
from pathlib import Path

import pytest
from rich.console import Console

from eartune.cli.show import show_trained
from eartune.config import TrainConfig, resolve_config
from eartune.config.resolve import override
from eartune.errors import InputError
from eartune.origin import RunOrigin, read_origin
from eartune.run_dir import RunDir
from eartune.verbs.resume import compare, refuse_foreign_folder
from eartune.verbs.train import TrainedRun, _finished_run
from tests.old_records import ADAPTER_ORIGIN, OTHER_VALUES, RUN_ORIGIN, SUMMARY, Json, changes, refusal_of


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = RunDir(tmp_path / "run")
    run.root.mkdir()
    write(run, RUN_ORIGIN)
    run.finished.write_text(json.dumps(SUMMARY))
    return run


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    given = {"base_model": "whisper-tiny", "train": ["a.jsonl"], "output_dir": str(tmp_path / "run")}
    return resolve_config(overrides=[override(name, value) for name, value in given.items()])


def write(run: RunDir, origin: Json) -> None:
    run.origin.write_text(json.dumps(origin))


def now(run: RunDir) -> RunOrigin:
    """What the same command would train."""
    origin = read_origin(run.root)
    assert isinstance(origin, RunOrigin)
    return origin


def test_the_same_run_is_finished_and_another_one_is_told_by_each_difference(run: RunDir) -> None:
    origin = now(run)
    assert compare(run, origin, overwrite=False).finished is not None
    other = origin.model_copy(
        update={
            "decides": {**origin.decides, "r": 8},
            "base_model": origin.base_model.model_copy(update={"sha256": "0", "spec": "other.pt"}),
            "data": {"train": origin.data["train"].model_copy(update={"sha256": "1", "utterances": 5})},
        }
    )
    with pytest.raises(InputError) as refused:
        compare(run, other, overwrite=False)
    assert str(refused.value).splitlines()[1:-1] == [
        "r: was 4, is 8",
        "base_model: was /home/anna/tiny-random.pt, is other.pt (other weights)",
        "train: its speech or texts have changed (4 utterances, 13.427 s before, 5 utterances, 13.427 s now)",
        "val: its speech or texts have changed (4 utterances, 13.427 s before, 0 utterances, 0 s now)",
    ]
    assert compare(run, other, overwrite=True).finished is None


def test_a_model_is_not_a_run(run: RunDir) -> None:
    origin = now(run)
    write(run, ADAPTER_ORIGIN)
    for refuse in (
        lambda: compare(run, origin, overwrite=False),
        lambda: refuse_foreign_folder(run, overwrite=False),
    ):
        with pytest.raises(InputError, match="run: holds an adapter, not a run; choose another output_dir"):
            refuse()


@pytest.mark.parametrize("value", OTHER_VALUES)
def test_a_damaged_origin_is_named_in_one_line_or_differs(run: RunDir, value: str) -> None:
    origin = now(run)
    for place, changed in changes(RUN_ORIGIN, OTHER_VALUES[value]):
        write(run, changed)
        at_once = refusal_of(lambda: refuse_foreign_folder(run, overwrite=False))
        refusal = refusal_of(lambda: compare(run, origin, overwrite=False))
        if refusal is not None and "was started differently" in refusal:
            assert at_once is None
            assert place.startswith(("decides", "base_model.", "data")), place
        elif refusal is not None:
            assert refusal == at_once
            assert refusal.startswith(f"{run.origin}: "), place
            assert "\n" not in refusal, place


@pytest.mark.parametrize("value", OTHER_VALUES)
def test_a_damaged_summary_is_named_in_one_line_or_shown(run: RunDir, config: TrainConfig, value: str) -> None:
    origin = now(run)
    for place, changed in changes(SUMMARY, OTHER_VALUES[value]):
        run.finished.write_text(json.dumps(changed))
        refusal = refusal_of(lambda: compare(run, origin, overwrite=False))
        if refusal is not None:
            assert refusal.startswith(f"{run.finished}: "), place
            assert "\n" not in refusal, place
            continue
        summary = compare(run, origin, overwrite=False).finished
        assert summary is not None
        show_trained(_finished_run(config, run, summary), console=Console(quiet=True))


def test_the_summary_of_a_finished_run_is_what_its_training_returned(run: RunDir, config: TrainConfig) -> None:
    summary = compare(run, now(run), overwrite=False).finished
    assert summary is not None
    trained = _finished_run(config, run, summary)
    assert trained == TrainedRun(
        path=run.root,
        steps=2,
        epochs=1.0,
        train_seconds=2.8451420460005465,
        audio_seconds=13.426937500000001,
        best=SUMMARY["best"],
        validations=(SUMMARY["validations"][0],),
        merged=None,
        waited_seconds=0.07434705299965572,
        remarks=tuple(SUMMARY["remarks"]),
    )
    assert json.loads(json.dumps(dataclasses.asdict(trained) | {"path": None})) == SUMMARY
