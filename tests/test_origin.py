"""origin.json: of any age it is read as it was written; newer and damaged ones are refused in one line."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from eartune.cli import main
from eartune.errors import InputError
from eartune.origin import Origin, RunOrigin, read_origin, write_origin
from tests.old_records import ADAPTER_ORIGIN, MERGED_ORIGIN, ORIGINS, OTHER_VALUES, RUN_ORIGIN, changes, refusal_of


def read(folder: Path, content: Any) -> Origin | None:
    (folder / "origin.json").write_text(json.dumps(content), encoding="utf-8")
    return read_origin(folder)


@pytest.mark.parametrize("kind", ORIGINS)
def test_what_was_written_before_is_read_and_written_again_with_the_same_keys(kind: str, tmp_path: Path) -> None:
    origin = read(tmp_path, ORIGINS[kind])
    assert origin is not None
    assert isinstance(origin, RunOrigin) == (kind == "run")
    (tmp_path / "origin.json").unlink()
    write_origin(tmp_path, origin)
    assert json.loads((tmp_path / "origin.json").read_text(encoding="utf-8")) == ORIGINS[kind]


# keys that versions added one after the other, the newest first
ADDED = ["language_token", "added_characters"]
OLDER = {
    "a run without tokens and characters": {k: v for k, v in RUN_ORIGIN.items() if k not in ADDED},
    "an adapter without them": {k: v for k, v in ADAPTER_ORIGIN.items() if k not in ADDED},
    "a merged model of the first version": {
        **{k: v for k, v in MERGED_ORIGIN.items() if k not in (*ADDED, "task", "language")},
        # an adapter that came without an origin
        **dict.fromkeys(("method", "task", "language", "data", "config", "metrics")),
    },
    "a merged model of which nothing else is known": {
        k: MERGED_ORIGIN[k]
        for k in ("format", "kind", "family", "base_model", "parent", "merge_difference", "versions")
    },
}


@pytest.mark.parametrize("name", OLDER)
def test_older_ones_with_fewer_keys_are_read(name: str, tmp_path: Path) -> None:
    origin = read(tmp_path, OLDER[name])
    assert origin is not None
    assert (origin.language_token, origin.added_characters, origin.family) == (None, "", "whisper")
    assert origin.to_json() == OLDER[name]


def test_a_folder_without_one_has_none(tmp_path: Path) -> None:
    assert read_origin(tmp_path) is None
    assert read_origin(tmp_path / "missing") is None


def test_keys_of_the_same_format_that_are_not_known_are_kept(tmp_path: Path) -> None:
    told = {**ADAPTER_ORIGIN, "licence": {"id": "mit"}, "base_model": {**ADAPTER_ORIGIN["base_model"], "size": 3}}
    origin = read(tmp_path, told)
    assert origin is not None
    assert origin.to_json() == told


def test_how_it_was_tuned_has_the_keys_that_are_on_record(tmp_path: Path) -> None:
    adapter, first = (
        read(tmp_path, ADAPTER_ORIGIN),
        read(tmp_path, OLDER["a merged model of which nothing else is known"]),
    )
    assert adapter is not None
    assert first is not None
    assert list(adapter.tuning) == ["method", "data", "config", "metrics"]
    assert adapter.tuning["config"] == ADAPTER_ORIGIN["config"]
    assert first.tuning == {}


@pytest.mark.parametrize("kind", ORIGINS)
@pytest.mark.parametrize("value", OTHER_VALUES)
def test_any_key_that_is_missing_or_of_another_type_is_read_or_named_in_one_line(
    kind: str, value: str, tmp_path: Path
) -> None:
    for place, changed in changes(ORIGINS[kind], OTHER_VALUES[value]):
        refusal = refusal_of(partial(read, tmp_path, changed))
        if refusal is not None:
            assert refusal.startswith(f"{tmp_path / 'origin.json'}: "), place
            assert place in refusal, place
            assert "\n" not in refusal, place


def required(kind: str, tmp_path: Path) -> set[str]:
    return {
        place
        for place, changed in changes(ORIGINS[kind], OTHER_VALUES["removed"])
        if "." not in place and refusal_of(partial(read, tmp_path, changed))
    }


def test_what_every_version_has_written_is_required(tmp_path: Path) -> None:
    always = {"format", "kind", "family", "base_model", "versions"}
    assert required("run", tmp_path) == always | {"data", "config", "decides"}
    assert required("adapter", tmp_path) == required("model", tmp_path) == always


DAMAGED = [
    ({"format": 2, "kind": "something else"}, r"was written by a newer eartune \(format 2\); update eartune"),
    ({**RUN_ORIGIN, "format": "1"}, r"format is '1', and should be a valid integer"),
    ({**RUN_ORIGIN, "format": 0}, r"format is 0, and should be greater than 0"),
    ({**RUN_ORIGIN, "kind": "walk"}, r"kind is 'walk', and should be 'run', 'adapter' or 'model'"),
    ({**RUN_ORIGIN, "family": "wav2vec"}, r"family is 'wav2vec', and should be one of whisper, canary, parakeet"),
    ({**RUN_ORIGIN, "task": "sing"}, r"task is 'sing', and should be 'transcribe' or 'translate'"),
    ({**RUN_ORIGIN, "decides": None}, r"decides is None, and should be a valid mapping"),
    ({**ADAPTER_ORIGIN, "parent": "a\0"}, r"parent is 'a\\x00', and should be a path or the id of a model"),
    ({**ADAPTER_ORIGIN, "parent": "x" * 300}, r"parent is 'x+, and should be a path or the id of a model"),
    ({**ADAPTER_ORIGIN, "step": 10**400}, None),
    ({**ADAPTER_ORIGIN, "metrics": {"wer": 10**400}}, r"metrics\.wer is 1000+, and should be a valid number"),
    ([RUN_ORIGIN], r"is a list, and should be a valid mapping"),
    (None, r"is None, and should be a valid mapping"),
]


@pytest.mark.parametrize(("content", "message"), DAMAGED, ids=range(len(DAMAGED)))
def test_what_is_wrong_is_named_with_what_it_should_be(content: Any, message: str | None, tmp_path: Path) -> None:
    if message is None:
        assert read(tmp_path, content) is not None
        return
    with pytest.raises(InputError, match=rf"origin\.json: {message}"):
        read(tmp_path, content)


@pytest.mark.parametrize("text", ["", "{", "[" * 1000, "\0", '"\\ud800"', "{}{}"])
def test_what_is_not_json_is_named_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "origin.json").write_text(text)
    with pytest.raises(InputError, match=r"^[^\n]*origin\.json:[^\n]*$"):
        read_origin(tmp_path)


def test_the_command_line_says_it_in_one_line_and_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "origin.json").write_text(json.dumps({**RUN_ORIGIN, "config": None}))
    assert main(["merge", str(tmp_path), "--out", str(tmp_path / "merged")]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {tmp_path / 'origin.json'}: config is None, and should be a valid mapping; ")
    assert told.count("\n") == 1
