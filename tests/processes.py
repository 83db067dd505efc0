"""Commands of eartune in processes of their own that can be killed, without a start of Python and torch for each."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from eartune.cli import main

# a server that has imported everything, and is forked for each command; Windows cannot fork
_CONTEXT = multiprocessing.get_context("spawn" if os.name == "nt" else "forkserver")
_CONTEXT.set_forkserver_preload(["tests.processes", "eartune.verbs.train", "eartune.families.whisper.load"])
# what a process is waited for at most, on a machine that is busy with much else
PATIENCE_S = 300


class Command:
    """A command of eartune that runs in a process of its own, and writes what it tells into a file."""

    def __init__(self, words: Sequence[str], log: Path) -> None:
        self.log = log
        self._process = _CONTEXT.Process(target=_run, args=(list(words), log))
        self._process.start()

    @property
    def told(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds. Fails where the process ends before."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self._process.is_alive(), self.told
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError("waited for too long")
            time.sleep(0.01)

    def kill(self) -> None:
        self._process.kill()
        self.wait()

    def interrupt(self) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGINT)

    def wait(self) -> int:
        """Wait for the end, and return the exit code."""
        self._process.join(PATIENCE_S)
        if self._process.exitcode is None:
            self._process.kill()
            raise AssertionError("waited for too long")
        return self._process.exitcode


def run(words: Sequence[str], log: Path) -> str:
    """Run a command to its end, and return what it told. Fails where its exit code is not 0."""
    command = Command(words, log)
    assert command.wait() == 0, command.told
    return command.told


def _run(words: list[str], log: Path) -> None:
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    sys.exit(main(words))
