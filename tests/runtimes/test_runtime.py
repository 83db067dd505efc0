"""What all runtimes share: languages, tasks, and errors as one line."""

from pathlib import Path

import pytest

from eartune.errors import EartuneError, InputError
from eartune.runtimes.runtime import CannotRun, decoding, opening, supported_language


def test_languages_are_called_as_whisper_calls_them() -> None:
    known = ["en", "jw", "no", "tl"]
    assert supported_language("jv", known=known, multilingual=True) == "jw"
    assert supported_language("nb", known=known, multilingual=True) == "no"
    assert supported_language("fil", known=known, multilingual=True) == "tl"
    assert supported_language(None, known=known, multilingual=True) is None
    assert supported_language(None, known=known, multilingual=False) == "en"
    with pytest.raises(InputError, match="language 'xx': the model has no token for it"):
        supported_language("xx", known=known, multilingual=True)
    with pytest.raises(InputError, match="language 'ru': the model is English-only"):
        supported_language("ru", known=known, multilingual=False)


def test_a_program_that_is_missing_cannot_run_an_artefact(tmp_path: Path) -> None:
    with (
        pytest.raises(CannotRun, match=r"Some is not installed; pip install 'eartune\[some\]'"),
        opening(tmp_path, package="no_such_package", extra="eartune[some]", program="Some"),
    ):
        pytest.fail("it went on")


def test_whatever_a_program_raises_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(EartuneError, match=r"Some cannot decode with it: first second; export the model again") as told,
        decoding(tmp_path, program="Some"),
    ):
        raise RuntimeError("first\nsecond")
    assert "\n" not in str(told.value)
    with pytest.raises(InputError, match="mine"), decoding(tmp_path, program="Some"):
        raise InputError("mine")
