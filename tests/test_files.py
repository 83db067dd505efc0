"""Files and directories appear whole or not at all, also after a kill between any two steps."""

import errno
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import eartune.files
from eartune.errors import InputError
from eartune.files import (
    new_directory,
    new_file,
    recover_directory,
    write_json_atomic,
    write_text_atomic,
    write_texts_together,
)

# no process has this number: above the largest that Linux and Windows give
DEAD_PID = 2**31 - 5


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    if os.name == "nt" or os.geteuid() == 0:
        pytest.skip("needs a user whom file rights bind")
    yield folder
    folder.chmod(0o700)


# --- files


@pytest.mark.parametrize("text", ["", "привет\r\nмир\n", "\u2028"])
def test_text_is_written_as_it_is(tmp_path: Path, text: str) -> None:
    write_text_atomic(tmp_path / "a" / "b.txt", text)
    assert (tmp_path / "a" / "b.txt").read_bytes() == text.encode()
    assert names(tmp_path / "a") == ["b.txt"]


def test_json_keeps_letters_and_order(tmp_path: Path) -> None:
    write_json_atomic(tmp_path / "x.json", {"z": "ё", "a": [1, 2.5]})
    written = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert "ё" in written
    assert list(json.loads(written)) == ["z", "a"]


def test_json_refuses_nan_and_leaves_the_old_file(tmp_path: Path) -> None:
    write_json_atomic(tmp_path / "x.json", 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_atomic(tmp_path / "x.json", float("nan"))
    assert (tmp_path / "x.json").read_text() == "1\n"


def test_failed_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    write_text_atomic(target, "old")

    def write_half() -> None:
        with new_file(target) as aside:
            aside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["x.txt"]


def test_leftovers_of_dead_processes_are_cleared_and_others_spared(tmp_path: Path) -> None:
    kept = [f".x.txt.tmp-{os.getppid()}", ".x.txt.tmp-mine", f".other.tmp-{DEAD_PID}"]
    for name in [f".x.txt.tmp-{DEAD_PID}", f".x.txt.tmp-{10**30}", *kept]:
        (tmp_path / name).touch()
    write_text_atomic(tmp_path / "x.txt", "new")
    assert names(tmp_path) == sorted([*kept, "x.txt"])


@pytest.mark.skipif(os.name == "nt", reason="process 1 is of POSIX systems")
def test_leftovers_of_a_process_of_root_are_spared(tmp_path: Path) -> None:
    (tmp_path / ".x.txt.tmp-1").touch()
    write_text_atomic(tmp_path / "x.txt", "new")
    assert names(tmp_path) == [".x.txt.tmp-1", "x.txt"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "x.txt").symlink_to(tmp_path / "disk" / "x.txt")
    write_text_atomic(tmp_path / "x.txt", "new")
    assert (tmp_path / "x.txt").is_symlink()
    assert (tmp_path / "disk" / "x.txt").read_text() == "new"


def test_files_written_together_replace_what_is_to_go(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text("old")
    write_texts_together({tmp_path / "a": "new", tmp_path / "d": "new"}, remove=[tmp_path / "a", tmp_path / "b"])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "new", "c": "old", "d": "new"}


def test_files_written_together_stay_as_they_were_where_one_fails(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "d").mkdir()
    with pytest.raises(InputError, match="is a directory where a file is to be written"):
        write_texts_together({tmp_path / "a": "new", tmp_path / "d": "new"}, remove=[tmp_path / "a"])
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a", "d"]


# --- places that cannot be written


def test_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    target = tmp_path / "data" / "sub" / "x.txt"
    for write in (lambda: write_text_atomic(target, ""), lambda: new_directory(target).__enter__()):
        with pytest.raises(InputError) as caught:
            write()
        assert f"{target}: cannot be written" in str(caught.value)
        assert f"{tmp_path / 'data'} is a file, not a directory; choose another place" in str(caught.value)


def test_directory_in_the_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a directory where a file is to be written"):
        write_text_atomic(tmp_path, "")


def test_file_in_the_place_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    for replace in (False, True):
        with (
            pytest.raises(InputError, match="is a file where a directory is to be written"),
            new_directory(tmp_path / "run", replace=replace),
        ):
            pass
    assert (tmp_path / "run").read_text() == "mine"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EACCES, "no permission; change the rights or choose another place"),
        (errno.EROFS, "the file system is read-only; choose another place"),
        (errno.ENOSPC, "full; free some space"),
        (errno.ENAMETOOLONG, "File name too long; choose another place"),
    ],
)
def test_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str) -> None:
    def fail(path: Path, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "touch", fail)
    with pytest.raises(InputError) as caught:
        write_text_atomic(tmp_path / "x.txt", "")
    assert str(tmp_path / "x.txt") in str(caught.value)
    assert message in str(caught.value)


def test_locked_directory(locked: Path) -> None:
    with pytest.raises(InputError, match="no permission"):
        write_text_atomic(locked / "x.txt", "")
    with pytest.raises(InputError, match="no permission"), new_directory(locked / "run"):
        pass


def test_rename_is_tried_again_where_a_scanner_holds_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename, held = Path.replace, [PermissionError("held"), PermissionError("held")]

    def replace(source: Path, target: Path) -> Path:
        if held:
            raise held.pop()
        return rename(source, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(eartune.files, "RENAME_ATTEMPTS", 3)
    monkeypatch.setattr(eartune.files, "RENAME_PAUSE_S", 0.0)
    write_text_atomic(tmp_path / "x.txt", "new")
    assert (tmp_path / "x.txt").read_text() == "new"


# --- directories


def test_new_directory_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "runs" / "first"
    with new_directory(target) as aside:
        (aside / "x").write_text("1")
        assert aside.parent == target.parent
        assert aside.name.startswith(".")
        assert not target.exists()
    assert (target / "x").read_text() == "1"
    assert names(target.parent) == ["first"]


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with new_directory(tmp_path / "run") as aside:
            (aside / "x").write_text("1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert names(tmp_path) == []


def test_empty_directory_may_stand_there(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with new_directory(tmp_path / "run") as aside:
        (aside / "x").touch()
    assert names(tmp_path) == ["run"]
    assert names(tmp_path / "run") == ["x"]


def test_full_directory_is_refused_before_the_work_begins(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").touch()
    with pytest.raises(InputError, match="already exists and is not empty; choose another place or remove it"):
        new_directory(tmp_path / "run").__enter__()
    assert names(tmp_path) == ["run"]


def test_directory_filled_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    def write_too_late() -> None:
        with new_directory(tmp_path / "run"):
            (tmp_path / "run").mkdir()
            (tmp_path / "run" / "of another").touch()

    with pytest.raises(InputError, match="already exists"):
        write_too_late()
    assert names(tmp_path / "run") == ["of another"]
    assert names(tmp_path) == ["run"]


def test_replacing_takes_all_of_the_old_away(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").touch()
    with new_directory(tmp_path / "run", replace=True) as aside:
        (aside / "new").touch()
        assert names(tmp_path / "run") == ["old"]
    assert names(tmp_path / "run") == ["new"]
    assert names(tmp_path) == ["run"]


def test_failed_replacing_keeps_the_old(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").touch()
    with pytest.raises(RuntimeError), new_directory(tmp_path / "run", replace=True):
        raise RuntimeError
    assert names(tmp_path / "run") == ["old"]
    assert names(tmp_path) == ["run"]


def test_failed_second_rename_puts_the_old_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").touch()
    rename = Path.replace

    def replace(source: Path, target: Path) -> Path:
        if ".tmp-" in source.name:
            raise OSError(errno.EIO, "disk error")
        return rename(source, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(InputError, match="disk error"), new_directory(tmp_path / "run", replace=True):
        pass
    assert names(tmp_path / "run") == ["old"]
    assert names(tmp_path) == ["run"]


# --- kills

KILLED = """
import os, signal
from pathlib import Path
from eartune.files import new_directory
rename, when = Path.replace, {when}
def replace(source, target):
    global when
    when -= 1
    if when < 0:
        os._exit(9)
    return rename(source, target)
Path.replace = replace
with new_directory("run", replace=True) as aside:
    (aside / "new").touch()
"""


@pytest.mark.parametrize(("when", "left"), [(0, "old"), (1, "old"), (2, "new")])
def test_after_a_kill_between_the_renames_the_next_writer_finds_a_whole_directory(
    tmp_path: Path, when: int, left: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").touch()
    code = textwrap.dedent(KILLED.format(when=when))
    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert process.returncode == (0 if when == 2 else 9)

    recover_directory(tmp_path / "run")
    assert names(tmp_path / "run") == [left]

    with new_directory(tmp_path / "run", replace=True) as aside:
        (aside / "newer").touch()
    assert names(tmp_path) == ["run"]
    assert names(tmp_path / "run") == ["newer"]


def test_recovery_removes_what_was_replaced(tmp_path: Path) -> None:
    for name in ("run", ".run.old"):
        (tmp_path / name).mkdir()
    recover_directory(tmp_path / "run")
    assert names(tmp_path) == ["run"]


def test_recovery_of_nothing_does_nothing(tmp_path: Path) -> None:
    recover_directory(tmp_path / "run")
    assert names(tmp_path) == []
