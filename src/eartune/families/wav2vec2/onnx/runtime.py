"""A folder in ONNX Runtime.

S samples of 16 kHz mono, P positions, V tokens with the blank.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from typing_extensions import TypedDict

from eartune.audio import SAMPLE_RATE_HZ
from eartune.errors import InputError
from eartune.families.wav2vec2 import MAX_DURATION_S
from eartune.families.wav2vec2.tokenizer import SpecialTokens, pieces_of
from eartune.long_form import WORD
from eartune.model import Waveform
from eartune.ops.ctc import decode_ctc
from eartune.parsing import read_json
from eartune.runtimes.onnx_asr import providers
from eartune.runtimes.runtime import LongTranscript, RuntimeBase, Task, decoding, opening
from eartune.runtimes.segments import TimedTokens, long_transcript

ADVICE = "export the model again"
PROGRAM = "ONNX Runtime"
# the names of onnx-asr
SPECIAL = SpecialTokens(pad="<blk>", unk="<unk>", word_delimiter=WORD[0], bos="<s>", eos="</s>")


class _Config(TypedDict):
    model_type: Literal["wav2vec2-ctc"]
    subsampling_factor: Annotated[int, Field(ge=1, lt=100_000)]


class OnnxFolder(RuntimeBase):
    """A folder in ONNX Runtime, on a CPU with `num_threads`, or on a CUDA device; the language is ignored."""

    max_duration_s = MAX_DURATION_S

    def __init__(self, folder: Path, *, device: str = "cpu", num_threads: int = 1, task: Task = "transcribe") -> None:
        if task != "transcribe":
            raise InputError(f"task {task!r}: this model only transcribes; leave it at transcribe")
        config = read_json(folder / "config.json", _Config, advice=ADVICE)
        self._folder, self._position_s = folder, config["subsampling_factor"] / SAMPLE_RATE_HZ
        self._names = _read_vocabulary(folder / "vocab.txt")
        with opening(folder, package="onnxruntime", extra="eartune[onnx]", program=PROGRAM):
            import onnxruntime  # noqa: PLC0415  an optional extra

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = num_threads
            options.log_severity_level = 3
            self._session: Any = onnxruntime.InferenceSession(
                folder / "model.onnx", options, providers=providers(device)
            )

    def transcribe(self, waveform_S: Waveform, language: str | None) -> str:  # noqa: ARG002  CTC has no languages
        return self._transcribe(waveform_S).text

    def segments(self, waveform_S: Waveform, language: str | None) -> LongTranscript:  # noqa: ARG002
        return long_transcript(self._transcribe, waveform_S, position_s=self._position_s)

    def _transcribe(self, waveform_S: Waveform) -> TimedTokens:
        inputs = {
            "input_values": np.asarray(waveform_S, dtype=np.float32)[None],
            "input_lengths": np.array([len(waveform_S)], dtype=np.int64),
        }
        with decoding(self._folder, program=PROGRAM):
            (logits_1PV,) = self._session.run(["logprobs"], inputs)
            if logits_1PV.shape[2] != len(self._names):
                raise InputError(f"{self._folder}: graph and vocab.txt do not belong together; {ADVICE}")
        lengths_1 = torch.tensor([logits_1PV.shape[1]])
        (decoded,) = decode_ctc(torch.from_numpy(logits_1PV), lengths_1, blank=self._names.index(SPECIAL.pad))
        pieces, starts, ends = pieces_of(self._names, decoded, special=SPECIAL)
        return TimedTokens(
            "".join(pieces).replace(WORD[0], " ").strip(),
            pieces,
            [start * self._position_s for start in starts],
            [(end - start) * self._position_s for start, end in zip(starts, ends, strict=True)],
        )


def _read_vocabulary(path: Path) -> list[str]:
    """Read vocab.txt: a token and its number in each line. Raises InputError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({type(error).__name__}); {ADVICE}") from None
    names = [line.rpartition(" ")[0] for line in lines]
    if [line.rpartition(" ")[2] for line in lines] != [str(number) for number in range(len(lines))]:
        raise InputError(f"{path}: its tokens are not numbered from 0 on; {ADVICE}")
    if SPECIAL.pad not in names:
        raise InputError(f"{path}: has no token <blk>; {ADVICE}")
    return names
