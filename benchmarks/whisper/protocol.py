"""How the benchmark and a contender talk: JSON lines over the contender's standard streams.

    the benchmark                        the contender
                                         {"event": "ready"}
    {"do": "train", "steps": 3}          {"event": "done", "seconds": 9.1, "processor_seconds": 9.0,
                                          "steps": 3, "audio_seconds": 66.0}
    {"do": "evaluate", "clips": 24}      {"event": "done", "seconds": 5.2, "processor_seconds": 5.1,
                                          "clips": 24, "audio_seconds": 63.0, "texts": ["turn left", ...]}
    {"do": "report"}                     {"event": "done", "host_peak_bytes": 812646400, ...}, and it ends

A training contender is ready when its first optimiser step begins: imported, data prepared, model loaded, first batch
there. Between requests it waits and uses no processor. It ends when its input does.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

# Any: values of JSON
Message = dict[str, Any]


class ContenderFailed(Exception):  # noqa: N818  the contender's failure, not ours
    """A contender ended before it was asked to; the message holds the end of its log."""


class Contender:
    """The benchmark's end: a running contender."""

    def __init__(self, name: str, command: list[str], *, environment: dict[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.started = time.perf_counter()
        with log.open("w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment, text=True
            )

    def __enter__(self) -> Contender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_until_ready(self) -> float:
        """Return the seconds from the start of the process until it was ready."""
        assert self._hear()["event"] == "ready"
        return time.perf_counter() - self.started

    def ask(self, do: str, **details: int) -> Message:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"do": do, **details}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None
        return self._hear()

    def close(self) -> None:
        """End the process, which ends by itself when nobody speaks to it any more."""
        for stream in (self.process.stdin, self.process.stdout):
            # a request that a dead process did not take is still in there
            with suppress(BrokenPipeError):
                if stream is not None:
                    stream.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _hear(self) -> Message:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise self._failure()
        message: Message = json.loads(line)
        return message

    def _failure(self) -> ContenderFailed:
        code = self.process.wait()
        end = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-25:]
        return ContenderFailed("\n".join([f"{self.name} ended with code {code}. The end of its log:", *end]))


class Benchmark:
    """The contender's end."""

    def __init__(self, requests: TextIO, answers: TextIO) -> None:
        self.requests, self.answers = requests, answers

    def ready(self) -> None:
        self._say({"event": "ready"})

    def request(self) -> Message:
        """Wait for the next request, without memory of the last one; end this process where there will be none."""
        _release_memory()
        line = self.requests.readline()
        if not line:
            sys.exit(0)
        message: Message = json.loads(line)
        return message

    def done(self, **figures: Any) -> None:
        self._say({"event": "done", **figures})

    def _say(self, message: Message) -> None:
        self.answers.write(json.dumps(message) + "\n")
        self.answers.flush()


def _release_memory() -> None:
    """Give memory that was freed back to the system: contenders wait for each other with all of them in memory."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def standard_streams() -> Benchmark:
    """Take the standard streams for the conversation; what libraries print goes to the log from here on."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return Benchmark(sys.stdin, answers)
