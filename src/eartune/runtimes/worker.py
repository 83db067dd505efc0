"""A program in a process of its own, so that C++ code that aborts on broken files ends only that process."""

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

# when ggml aborts, it would otherwise start a debugger, and several threads that do so wait for each other
NO_DEBUGGER = {"GGML_NO_BACKTRACE": "1"}

# lines of a log -> the program's error message, or ""
FindError = Callable[[Sequence[str]], str]


class Worker:
    """A script that serves requests through worker_loop.py; close it after use.

    `path` is the exported file or folder and `program` the name of its runtime, for errors; `facts` are the properties
    of the model, which the script sends after loading it.
    """

    def __init__(
        self, script: Path, arguments: Sequence[str], *, path: Path, program: str, find_error: FindError
    ) -> None:
        self._path, self._program, self._find_error = path, program, find_error
        # a file, not a pipe: nothing reads it while a clip is decoded
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        # -P: modules beside the script are not to be found by their bare names
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=-1,
            # it imports eartune from the same place as this process
            env=os.environ | NO_DEBUGGER | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        try:
            self.facts = self._response()
        except BaseException:
            self.close()
            raise

    def decode(self, waveform: Waveform, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a 16 kHz recording and return the response. Raises EartuneError if the program fails or dies."""
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
                # data not yet sent to a process that has died
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
            raise EartuneError(f"{self._path}: {error}{self._logged_error()}") from None
        if "error" in response:
            raise EartuneError(f"{self._path}: {self._program} {response['error']}{self._logged_error()}")
        return response

    def _death(self) -> EartuneError:
        code = self._process.wait()
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        return EartuneError(f"{self._path}: {self._program} ended {how}; the file is broken{self._logged_error()}")

    def _logged_error(self) -> str:
        """Return the program's error message in brackets, or ''."""
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines()]
        error = self._find_error(lines)
        return f" ({error[:200]})" if error else ""
