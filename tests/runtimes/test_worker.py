"""A worker's process: answers, complaints and deaths, of a small script."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from eartune.errors import EartuneError
from eartune.runtimes.worker import Worker

SCRIPT = """
import os, sys
from eartune.runtimes.worker_loop import serve_requests

def load():
    if sys.argv[1] == "dies":
        print("reason: no such model", file=sys.stderr)
        os._exit(3)
    print("C++ says hello where the answers are")

    def decode(samples, request):
        if request.get("crash"):
            os.abort()
        if request.get("refuse"):
            return {"error": "does not know that"}
        os.write(1, b"noise")
        return {"sum": float(samples.sum()), "dtype": str(samples.dtype), "words": request["words"]}

    return {"how": sys.argv[1]}, decode

serve_requests(load)
"""


def last_line(lines: Sequence[str]) -> str:
    return next((line for line in reversed(lines) if line.startswith("reason")), "")


def start(folder: Path, how: str) -> Worker:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    return Worker(script, [how], path=folder / "model", program="the program", find_error=last_line)


def test_answers_are_whole_whatever_the_program_prints(tmp_path: Path) -> None:
    worker = start(tmp_path, "lives")
    assert worker.facts == {"how": "lives"}
    for count in (3, 0, 100_000):
        answer = worker.decode(np.ones(count, np.float64), {"words": "ўқ"})  # type: ignore[arg-type]
        assert answer == {"sum": float(count), "dtype": "float32", "words": "ўқ"}
    worker.close()
    worker.close()


def test_a_death_says_how_and_why(tmp_path: Path) -> None:
    with pytest.raises(EartuneError, match=r"the program ended with code 3; the file is broken \(reason: no such"):
        start(tmp_path, "dies")


def test_a_death_while_decoding_is_an_error_and_so_is_what_follows(tmp_path: Path) -> None:
    worker = start(tmp_path, "lives")
    for _ in range(2):
        with pytest.raises(EartuneError, match="the program ended by SIGABRT"):
            worker.decode(np.zeros(200_000, np.float32), {"crash": True})
    worker.close()


def test_a_refusal_is_an_error_and_the_process_lives_on(tmp_path: Path) -> None:
    worker = start(tmp_path, "lives")
    with pytest.raises(EartuneError, match="model: the program does not know that"):
        worker.decode(np.zeros(1, np.float32), {"refuse": True})
    assert worker.decode(np.ones(2, np.float32), {"words": ""})["sum"] == 2
    worker.close()


def test_a_worker_finds_eartune_where_this_process_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    worker = start(tmp_path, "lives")
    assert worker.decode(np.ones(1, np.float32), {"words": ""})["sum"] == 1
    worker.close()
