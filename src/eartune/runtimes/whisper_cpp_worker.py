"""The process in which whisper.cpp runs: `python whisper_cpp_worker.py MODEL NUM_THREADS TASK`."""

import ctypes
import re
import sys
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import _pywhispercpp as whisper_cpp
import numpy as np

from eartune.runtimes.worker_loop import Decode, serve_requests

# whisper.cpp counts each token of a multilingual vocabulary beyond this number as a language
FIRST_LANGUAGES = 51766
FALLBACKS = re.compile(r"fallbacks = *(\d+) p / *(\d+) h")


def load(path: str, num_threads: int, task: str) -> tuple[dict[str, Any], Decode]:
    """Load a model; requests have the output `wanted` (text, segments or logits) and the `language`."""
    model = Model(path, num_threads, task)
    responses = {"text": model.text, "segments": model.segments, "logits": model.logits}
    facts = {"multilingual": model.multilingual, "languages": model.languages}
    return facts, lambda samples, request: responses[request["wanted"]](samples, request["language"])


# Any: the types of the extension module are not described
class Model:
    """A ggml file in whisper.cpp; languages are codes, or auto."""

    def __init__(self, path: str, num_threads: int, task: str) -> None:
        self._path, self._num_threads, self._task = path, num_threads, task
        self._context = whisper_cpp.whisper_init_from_file_with_params(
            path, whisper_cpp.whisper_context_default_params()
        )
        # if loading failed, this is a null pointer in a wrapper: reading from it ends the process here, with the
        # reason in the log, instead of in the middle of a recording
        num_vocabulary = whisper_cpp.whisper_n_vocab(self._context)
        self.multilingual = bool(whisper_cpp.whisper_is_multilingual(self._context))
        num_languages = min(num_vocabulary - FIRST_LANGUAGES, whisper_cpp.whisper_lang_max_id() + 1)
        self.languages = [whisper_cpp.whisper_lang_str(number) for number in range(max(0, num_languages))]
        self._for_logits: ForLogits | None = None

    def text(self, samples: Any, language: str) -> dict[str, Any]:
        """Decode a clip at temperature 0 only, without skipping windows."""
        settings = {
            "no_timestamps": True,
            "temperature_inc": 0.0,
            "suppress_nst": True,
            # a probability above 1: no window counts as silence
            "no_speech_thold": 2.0,
            # whisper.cpp's own limit, at which it treats a text as a loop and returns none
            "max_tokens": whisper_cpp.whisper_n_text_ctx(self._context) // 2 - 5,
        }
        return self._decode(samples, self._params(language, settings)) or {
            "text": "".join(text for _, _, text in self._found()).strip()
        }

    def segments(self, samples: Any, language: str) -> dict[str, Any]:
        """Decode a recording with whisper.cpp's default settings."""
        params = self._params(language, {})
        failures: list[int | None] = []

        def window_begins(*_: Any) -> bool:
            failures.append(self._failures())
            return True

        whisper_cpp.assign_encoder_begin_callback(params, window_begins)
        if failed := self._decode(samples, params):
            return failed
        failures.append(self._failures())
        counted = [each for each in failures if each is not None]
        again = sum(after > before for before, after in pairwise(counted))
        return {
            "segments": [(start_s, end_s, text.strip()) for start_s, end_s, text in self._found()],
            "num_fallbacks": again if len(counted) == len(failures) else None,
        }

    def logits(self, samples: Any, language: str) -> dict[str, Any]:
        """Return the logits of the first token of text."""
        context = self._for_logits = self._for_logits or ForLogits(self._path, self._num_threads)
        context.transcribe_clip(samples)
        prompt = [whisper_cpp.whisper_token_sot(self._context)]
        if self.multilingual:
            number = context.language() if language == "auto" else whisper_cpp.whisper_lang_id(language)
            task_token = getattr(whisper_cpp, f"whisper_token_{self._task}")
            prompt += [whisper_cpp.whisper_token_lang(self._context, number), task_token(self._context)]
        prompt.append(whisper_cpp.whisper_token_not(self._context))
        return {"logits": context.logits(prompt).tolist()}

    def _params(self, language: str, settings: dict[str, Any]) -> Any:
        params = whisper_cpp.whisper_full_default_params(whisper_cpp.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY)
        settings = settings | {
            "n_threads": self._num_threads,
            "language": language,
            "translate": self._task == "translate",
            "no_context": True,
            "print_progress": False,
            "print_realtime": False,
            "print_timestamps": False,
        }
        for name, value in settings.items():
            setattr(params, name, value)
        return params

    def _decode(self, samples: Any, params: Any) -> dict[str, Any] | None:
        failure = whisper_cpp.whisper_full(self._context, params, samples, samples.size)
        return {"error": f"cannot decode a recording of {samples.size} samples (code {failure})"} if failure else None

    def _found(self) -> list[tuple[float, float, str]]:
        """Return start and end in seconds, and text; whisper.cpp counts hundredths."""
        return [
            (
                whisper_cpp.whisper_full_get_segment_t0(self._context, number) / 100,
                whisper_cpp.whisper_full_get_segment_t1(self._context, number) / 100,
                whisper_cpp.whisper_full_get_segment_text(self._context, number).decode(errors="replace"),
            )
            for number in range(whisper_cpp.whisper_full_n_segments(self._context))
        ]

    def _failures(self) -> int | None:
        """Return the number of failed attempts at windows so far, from the timing report, which alone has it."""
        lines: list[str] = []
        whisper_cpp.whisper_log_set(lambda _level, line, *_: lines.append(line))
        whisper_cpp.whisper_print_timings(self._context)
        whisper_cpp.whisper_log_set(None)
        counted = FALLBACKS.search("".join(lines))
        return int(counted[1]) + int(counted[2]) if counted else None


class ContextParams(ctypes.Structure):
    """whisper.h's whisper_context_params."""

    _fields_: ClassVar = [
        ("use_gpu", ctypes.c_bool),
        ("flash_attn", ctypes.c_bool),
        ("gpu_device", ctypes.c_int),
        ("dtw_token_timestamps", ctypes.c_bool),
        ("dtw_aheads_preset", ctypes.c_int),
        ("dtw_n_top", ctypes.c_int),
        ("num_dtw_aheads", ctypes.c_size_t),
        ("dtw_aheads", ctypes.c_void_p),
        ("dtw_mem_size", ctypes.c_size_t),
    ]


class ForLogits:
    """A ggml file opened by whisper.cpp's C functions: the extension module returns one logit only.

    Without flash attention, whisper.cpp's default, which is so coarse that it hides a slightly wrong file.
    """

    def __init__(self, path: str, num_threads: int) -> None:
        self._c, self._num_threads = ctypes.CDLL(whisper_cpp.__file__), num_threads
        self._c.whisper_context_default_params.restype = ContextParams
        self._c.whisper_init_from_file_with_params.argtypes = [ctypes.c_char_p, ContextParams]
        self._c.whisper_init_from_file_with_params.restype = ctypes.c_void_p
        self._c.whisper_get_logits.restype = ctypes.POINTER(ctypes.c_float)
        params, expected = self._c.whisper_context_default_params(), whisper_cpp.whisper_context_default_params()
        for name in ("use_gpu", "flash_attn", "gpu_device", "dtw_n_top", "dtw_mem_size"):
            if getattr(params, name) != getattr(expected, name):
                raise RuntimeError(f"Error: this whisper.cpp has a different layout of context settings ({name})")
        params.flash_attn = False
        self._context = ctypes.c_void_p(self._c.whisper_init_from_file_with_params(path.encode(), params))

    def transcribe_clip(self, samples: Any) -> None:
        values = samples.ctypes.data_as(ctypes.c_void_p)
        _require(self._c.whisper_pcm_to_mel(self._context, values, samples.size, self._num_threads) == 0)

    def language(self) -> int:
        found: int = self._c.whisper_lang_auto_detect(self._context, 0, self._num_threads, None)
        _require(found >= 0)
        return found

    def logits(self, prompt: list[int]) -> Any:
        """Return the logits [V] of the token after a prompt."""
        tokens = (ctypes.c_int32 * len(prompt))(*prompt)
        _require(self._c.whisper_encode(self._context, 0, self._num_threads) == 0)
        _require(self._c.whisper_decode(self._context, tokens, len(prompt), 0, self._num_threads) == 0)
        logits_UV = np.ctypeslib.as_array(
            self._c.whisper_get_logits(self._context), (len(prompt), self._c.whisper_n_vocab(self._context))
        )
        return logits_UV[-1]


def _require(done: bool) -> None:
    if not done:
        raise RuntimeError("Error: whisper.cpp failed")


if __name__ == "__main__":
    serve_requests(partial(load, sys.argv[1], int(sys.argv[2]), sys.argv[3]))
