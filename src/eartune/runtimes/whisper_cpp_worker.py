"""The process in which whisper.cpp runs: `python whisper_cpp_worker.py MODEL NUM_THREADS`.

It answers in lines of JSON: one when the model is loaded, and one for each request, which is a line of JSON and the
samples of a recording as float32 (`samples` of them).
"""

import json
import os
import sys
from typing import Any, BinaryIO

import _pywhispercpp as whisper_cpp
import numpy as np


def main(path: str, num_threads: int) -> None:
    """Load a model and answer requests until there are no more."""
    # whatever C++ prints must not come between the answers
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    context = whisper_cpp.whisper_init_from_file_with_params(path, whisper_cpp.whisper_context_default_params())
    # where loading failed, this is a null pointer in a wrapper: reading from it ends the process here, with the reason
    # in the log, instead of in the middle of a recording
    whisper_cpp.whisper_n_vocab(context)
    _send(answers, {"loaded": True})
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        samples = np.frombuffer(sys.stdin.buffer.read(4 * request["samples"]), dtype="<f4")
        _send(answers, _transcribe(context, samples, request["language"], num_threads, request["timestamps"]))


# Any: the types of the extension module are not described
def _transcribe(context: Any, samples: Any, language: str, num_threads: int, timestamps: bool) -> dict[str, Any]:
    # it would go on without a word, and without a language
    if language != "auto" and whisper_cpp.whisper_lang_id(language) < 0:
        return {"error": f"does not know the language {language!r}"}
    params = _greedy(num_threads, language, timestamps=timestamps)
    failure = whisper_cpp.whisper_full(context, params, samples, samples.size)
    if failure:
        return {"error": f"cannot decode a recording of {samples.size} samples (code {failure})"}
    return {"segments": _segments(context)}


def _greedy(num_threads: int, language: str, *, timestamps: bool) -> Any:
    """Return the settings under which whisper.cpp decodes as Whisper does: no second attempt, nothing skipped."""
    params = whisper_cpp.whisper_full_default_params(whisper_cpp.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY)
    settings = {
        "n_threads": num_threads,
        "language": language,
        "no_timestamps": not timestamps,
        "single_segment": False,
        "no_context": True,
        "temperature": 0.0,
        "temperature_inc": 0.0,
        "suppress_blank": True,
        "suppress_nst": True,
        # a probability above 1: no window is taken for silence
        "no_speech_thold": 2.0,
        "print_progress": False,
        "print_realtime": False,
        "print_timestamps": False,
    }
    for name, value in settings.items():
        setattr(params, name, value)
    return params


def _segments(context: Any) -> list[tuple[float, float, str]]:
    """Return start and end in seconds, and text; whisper.cpp counts hundredths."""
    segments = []
    for number in range(whisper_cpp.whisper_full_n_segments(context)):
        start_s = whisper_cpp.whisper_full_get_segment_t0(context, number) / 100
        end_s = whisper_cpp.whisper_full_get_segment_t1(context, number) / 100
        text = whisper_cpp.whisper_full_get_segment_text(context, number).decode(errors="replace").strip()
        segments.append((start_s, end_s, text))
    return segments


def _send(answers: BinaryIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
