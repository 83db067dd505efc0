"""A program in a process of its own: C++ that ends the whole process on some broken files ends only that one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from eartune.errors import EartuneError, InputError
from eartune.model import Waveform
from eartune.parsing import JsonObject, parse_json

# where ggml gives up, it would otherwise look for a debugger, and several threads that do so wait for each other
NO_DEBUGGER = {"GGML_NO_BACKTRACE": "1"}

# lines of a log -> what the program complained of, or ""
Complaint = Callable[[Sequence[str]], str]


class Worker:
    """A script of this folder that answers requests, as worker_loop.py does; close it when it is done.

    `path` is the file or folder it runs and `program` the name of what runs it, for errors; `facts` is what it said of
    the model when it had loaded it.
    """

    def __init__(
        self, script: Path, arguments: Sequence[str], *, path: Path, program: str, complaint: Complaint
    ) -> None:
        self._path, self._program, self._complaint = path, program, complaint
        # a file, not a pipe: nobody reads while a clip is decoded
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        # -P: modules beside the script are not to be found by their bare names
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=-1,
            # it finds eartune where this process did
            env=os.environ | NO_DEBUGGER | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        try:
            self.facts = self._response()
        except BaseException:
            self.close()
            raise

    def ask(self, waveform: Waveform, request: Mapping[str, Any]) -> dict[str, Any]:
        """Have a 16 kHz recording decoded. Raises EartuneError where the program fails or dies."""
        samples = np.ascontiguousarray(waveform, dtype="<f4")
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write(json.dumps({"samples": samples.size, **request}).encode() + b"\n" + samples.tobytes())
            pipe.flush()
        except OSError:
            raise self._death() from None
        return self._response()

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                # what was not yet sent to a process that has died
                continue
        self._log.close()

    def _response(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._death()
        try:
            response = parse_json(line, JsonObject, where=self._program)
        except InputError as error:
            raise EartuneError(f"{self._path}: {error}{self._last_words()}") from None
        if "error" in response:
            raise EartuneError(f"{self._path}: {self._program} {response['error']}{self._last_words()}")
        return response

    def _death(self) -> EartuneError:
        code = self._process.wait()
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        return EartuneError(f"{self._path}: {self._program} ended {how}; the file is broken{self._last_words()}")

    def _last_words(self) -> str:
        """Return what the program complained of, where it did."""
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines()]
        complaint = self._complaint(lines)
        return f" ({complaint[:200]})" if complaint else ""
