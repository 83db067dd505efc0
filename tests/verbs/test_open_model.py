"""What locate finds by the records in a folder, whole, of older versions or damaged. No weights are loaded here."""

import json
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from eartune.errors import InputError
from eartune.origin import RunOrigin
from eartune.run_dir import RunDir
from eartune.verbs.export import _original_archive, export
from eartune.verbs.open_model import Located, locate, original_base
from eartune.verbs.run_model import refuse_target
from eartune.verbs.sample import _manifests
from eartune.verbs.transcriber import find_export
from tests.old_records import (
    ADAPTER_ORIGIN,
    MERGED_ORIGIN,
    OTHER_VALUES,
    PARITY,
    RUN_ORIGIN,
    SCORES,
    Json,
    changes,
    refusal_of,
)

KEYS_OF_LATER_VERSIONS = ("task", "language", "language_token", "added_characters")


@pytest.fixture
def base(tmp_path: Path) -> Json:
    """The record of a base model that lies here."""
    path = tmp_path / "base.pt"
    path.write_bytes(b"weights")
    digest = sha256(b"weights").hexdigest()
    return {"spec": str(path), "kind": "openai", "path": str(path), "sha256": digest, "revision": None}


@pytest.fixture
def run(tmp_path: Path, base: Json) -> Path:
    """A run whose best/ is an adapter without weights."""
    best = tmp_path / "run" / "best"
    best.mkdir(parents=True)
    (best / "adapter_config.json").write_text("{}")
    write(best.parent, RUN_ORIGIN | {"base_model": base})
    write(best, ADAPTER_ORIGIN | {"base_model": base})
    return best.parent


def write(folder: Path, origin: Json) -> None:
    (folder / "origin.json").write_text(json.dumps(origin))


def use(located: Located) -> None:
    """Do what verbs do with what is on record."""
    original_base(located)
    _manifests(located, [])
    assert located.tuning.keys() <= {"method", "data", "config", "metrics"}
    with pytest.raises(InputError, match=r"did not begin as a \.nemo file here"):
        _original_archive(located)


def test_a_run_is_its_best_adapter_with_what_it_was_tuned_for(run: Path, base: Json) -> None:
    located = locate(str(run))
    assert (located.checkpoint, located.folder, located.is_adapter) == ("best", run / "best", True)
    assert (located.family, located.task, located.language) == ("whisper", "transcribe", "en")
    assert located.base.sha256 == base["sha256"]
    assert list(located.tuning) == ["method", "data", "config", "metrics"]
    use(located)


def test_records_of_older_versions_say_less(run: Path, base: Json) -> None:
    for folder, origin in ((run, RUN_ORIGIN), (run / "best", ADAPTER_ORIGIN)):
        write(folder, {k: v for k, v in origin.items() if k not in KEYS_OF_LATER_VERSIONS} | {"base_model": base})
    located = locate(str(run))
    assert (located.task, located.language, located.language_token) == ("transcribe", None, None)
    use(located)


def test_without_an_origin_of_its_own_a_checkpoint_has_that_of_the_run(run: Path) -> None:
    (run / "best" / "origin.json").unlink()
    located = locate(str(run))
    assert isinstance(located.origin, RunOrigin)
    assert located.language == "en"


@pytest.mark.parametrize("folder", [".", "best"])
@pytest.mark.parametrize("value", OTHER_VALUES)
def test_a_damaged_origin_is_named_in_one_line_or_of_no_matter(run: Path, base: Json, folder: str, value: str) -> None:
    whole = (RUN_ORIGIN if folder == "." else ADAPTER_ORIGIN) | {"base_model": base}
    for place, changed in changes(whole, OTHER_VALUES[value]):
        write(run / folder, changed)
        refusal = refusal_of(lambda: use(locate(str(run))))
        if refusal is not None:
            assert "\n" not in refusal, place
            # whole, but of another base model, or of a run that takes last/
            elsewhere = place.startswith("base_model.") or place == "config.load_best_model_at_end"
            assert elsewhere or refusal.startswith(f"{run / folder / 'origin.json'}: "), place


def test_damaged_scores_of_a_run_are_named_before_its_weights_are_loaded(run: Path, tmp_path: Path) -> None:
    scores = run / "evaluation" / "test" / "scores.json"
    scores.parent.mkdir(parents=True)
    scores.write_text(json.dumps(SCORES | {"scores": None}))
    with pytest.raises(InputError, match=r"test/scores\.json: scores is None, and should be a valid mapping; delete"):
        export(str(run), to=["ggml"], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", OTHER_VALUES)
def test_the_folder_a_run_would_replace_is_known_by_a_whole_origin_only(
    run: Path, base: Json, tmp_path: Path, value: str
) -> None:
    target = tmp_path / "exported"
    target.mkdir()
    whole = MERGED_ORIGIN | {"base_model": base, "parent": str(run / "best")}
    write(target, whole)
    refuse_target(target, RunDir(run))
    for place, changed in changes(whole, OTHER_VALUES[value]):
        write(target, changed)
        refusal = refusal_of(lambda: refuse_target(target, RunDir(run)))
        told = (f"{target / 'origin.json'}: ", f"export: {target} is not empty")
        assert refusal is None or refusal.startswith(told), place


def exported(tmp_path: Path, name: str, content: bytes, record: Json) -> Path:
    folder = tmp_path / "export"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    (folder / "parity.json").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize("value", OTHER_VALUES)
def test_a_damaged_record_of_an_export_is_named_in_one_line(tmp_path: Path, value: str) -> None:
    for place, changed in changes(PARITY, OTHER_VALUES[value]):
        if "." not in place:
            folder = exported(tmp_path, "model-float32.pt", b"weights", changed)
            refusal = refusal_of(partial(locate, str(folder)))
            assert refusal is None or refusal.startswith(f"{folder / 'parity.json'}: "), place


@pytest.mark.parametrize("missing", ["task", "language", "language_token"])
def test_an_export_whose_record_says_less_is_opened(tmp_path: Path, missing: str) -> None:
    record = {k: v for k, v in PARITY.items() if k != missing}
    located = locate(str(exported(tmp_path, "model-float32.pt", b"weights", record)))
    assert located.task == "transcribe"
    assert located.language == (None if missing == "language" else "en")
    ggml = tmp_path / "ggml"
    ggml.mkdir()
    # whisper.cpp's magic number
    found = find_export(str(exported(ggml, "ggml-model.bin", b"lmgg" + bytes(100), {**record, "format": "ggml"})))
    assert found is not None
    assert (found.family, found.task) == ("whisper", "transcribe")


def test_an_export_without_a_record_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ggml-model.bin"
    path.write_bytes(b"lmgg" + bytes(100))
    found = find_export(str(path), language="English")
    assert found is not None
    assert (found.family, found.language, found.task, found.language_token) == (None, "en", "transcribe", None)
