"""Request loop of a worker process, which sends a line of JSON when it is ready and one for each request.

A request is a line of JSON and the samples of a recording as float32 (`samples` of them).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

# samples and request -> response
Decode = Callable[[npt.NDArray[np.float32], Mapping[str, Any]], dict[str, Any]]


def serve_requests(load: Callable[[], tuple[Mapping[str, Any], Decode]]) -> None:
    """Load a model, send its properties, and decode until there are no more requests."""
    # output of C++ code must not get between the responses
    responses = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def send(response: Mapping[str, Any]) -> None:
        responses.write(json.dumps(response).encode() + b"\n")
        responses.flush()

    facts, decode = load()
    send(facts)
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        samples = np.frombuffer(sys.stdin.buffer.read(4 * request["samples"]), dtype="<f4")
        send(decode(samples, request))
