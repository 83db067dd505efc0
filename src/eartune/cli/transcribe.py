"""Arguments and output of `eartune transcribe RUN_OR_MODEL clip.wav ...`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from eartune.cli.main import LANGUAGE_TOKEN, Parser, positive


def build_parser() -> Parser:
    parser = Parser("transcribe")
    parser.add_argument(
        "model",
        metavar="RUN_OR_MODEL",
        help="a run, an adapter, a model folder, a hub id, a .pt or a .nemo file, or an export",
    )
    parser.add_argument("recordings", nargs="+", type=Path, metavar="AUDIO", help="recordings of any length")
    parser.add_argument("--format", choices=("text", "json", "srt", "vtt"), default="text", help="default text")
    parser.add_argument("--timestamps", action="store_true", help="write segments with times for short recordings too")
    parser.add_argument("--out", type=Path, help="folder for one file per recording; default: standard output")
    parser.add_argument("--language", "--lang", "-l", help="spoken language; default: as trained, or detected")
    parser.add_argument("--language-token", help=LANGUAGE_TOKEN)
    parser.add_argument("--task", choices=("transcribe", "translate"), help="default: as trained")
    parser.add_argument("--checkpoint", choices=("best", "last"), help="which model of a run; default: best, else last")
    parser.add_argument("--base-model", help="the adapter's base model, if it has moved")
    parser.add_argument("--num-beams", type=positive, default=1, help="beams; default 1, greedy")
    parser.add_argument(
        "--window",
        choices=("padded", "short"),
        default="padded",
        help="encoder input for recordings of at most 30 s without timestamps: padded (default) is the model's full"
        " window; short ends soon after the speech, which is faster, and is for models trained with short windows",
    )
    parser.add_argument("--gpu", "-g", type=int, help="index of the GPU")
    return parser


def run(words: Sequence[str]) -> int:
    """Transcribe to standard output or to files."""
    chosen = build_parser().parse_args(list(words))
    from eartune.files import require_writable, write_text_atomic  # noqa: PLC0415
    from eartune.reporting import Terminal  # noqa: PLC0415

    # imports torch, which --help does not need
    from eartune.verbs.transcribe import Transcript, output_paths, render, to_json, transcribe  # noqa: PLC0415

    suffix = {"text": ".txt"}.get(chosen.format, f".{chosen.format}")
    written: dict[Path, Path] = {}
    if chosen.out is not None:
        written = dict(zip(chosen.recordings, output_paths(chosen.recordings, chosen.out, suffix), strict=True))
        require_writable(chosen.out)

    def write(transcript: Transcript) -> None:
        if chosen.format == "json":
            text = json.dumps(to_json(transcript), ensure_ascii=False) + "\n"
        else:
            text = render(transcript, chosen.format)
        if chosen.out is None:
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        path = written[transcript.audio]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomic(path, text)
        print(path)

    transcribe(
        chosen.model,
        chosen.recordings,
        timestamps=chosen.timestamps or chosen.format in ("srt", "vtt"),
        checkpoint=chosen.checkpoint,
        base_model=chosen.base_model,
        language=chosen.language,
        language_token=chosen.language_token,
        task=chosen.task,
        num_beams=chosen.num_beams,
        window=chosen.window,
        gpu=chosen.gpu,
        reporter=Terminal(),
        each=write,
    )
    return 0
