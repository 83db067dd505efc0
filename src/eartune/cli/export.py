"""eartune export RUN_OR_MODEL --to FORMAT,FORMAT"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from eartune.cli.main import Parser, positive

FORMATS = {
    "ggml": "one file for whisper.cpp and whisper-rs",
    "ctranslate2": "a folder for faster-whisper",
    "onnx": "a folder for ONNX Runtime (Whisper: Optimum's files; Parakeet, Canary: onnx-asr's, sherpa-onnx's)",
    "openai": "a .pt file for openai-whisper",
    "nemo": "a .nemo file for NVIDIA's NeMo",
    "hf": "a Hugging Face folder",
}
QUANTIZATIONS = (
    "ggml: f16 (usual), f32, q8_0, q5_1, q5_0, q4_1, q4_0; ctranslate2: float16 (usual), float32, int8, int8_float16 "
    "and others; onnx: float32 (usual), float16, int8; openai: float16 (usual), float32"
)


def build_parser() -> Parser:
    parser = Parser("export")
    parser.add_argument("model", metavar="RUN_OR_MODEL", help="a run, an adapter, a model folder or a .nemo file")
    formats = "; ".join(f"{name}: {what}" for name, what in FORMATS.items())
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--to", type=_names, default=(), metavar="FORMATS", help=f"with commas. {formats}")
    where.add_argument("--for", dest="app", choices=("mimir",), help="the file for an app, and what to change there")
    parser.add_argument(
        "--quantize", type=_names, default=(), metavar="KINDS", help=f"with commas, each a file. {QUANTIZATIONS}"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder to write; of several exports, one in it for each. A name that ends in .bin, .pt or .nemo is the"
        " file itself. Default: export/ within the run",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")
    parser.add_argument(
        "--data", nargs="+", type=Path, default=(), help="speech to try it on; default: what the run validated on"
    )
    parser.add_argument(
        "--utterances", type=positive, default=40, help="how many of them, sampled at random; default 40"
    )
    parser.add_argument(
        "--wer-limit",
        type=_points,
        metavar="POINTS",
        help="how far the WER may move; default 0.2 for 16 and 32 bits, 1 for 8 and 5 bits, 2 for 4 bits",
    )
    parser.add_argument("--no-base", action="store_true", help="do not put the base model on the long recording too")
    parser.add_argument("--license", metavar="ID", help="for the model card: the licence, as the hub calls it (mit)")
    parser.add_argument(
        "--data-notes", metavar="TEXT", help="for the model card: where the speech is from, and its licence"
    )
    parser.add_argument("--push", metavar="OWNER/NAME", help="put the export on the Hugging Face hub, privately")
    parser.add_argument("--public", action="store_true", help="with --push: for everyone to see")
    parser.add_argument("--checkpoint", choices=("best", "last"), help="which model of a run; default: best, else last")
    parser.add_argument("--base-model", help="where the adapter's base model lies, if it has moved")
    parser.add_argument(
        "--original", type=Path, help="the .nemo file to take configuration and tokenizer from, for --to nemo"
    )
    return parser


def run(words: Sequence[str]) -> int:
    """Export, try what was written, and say where it is."""
    parser = build_parser()
    chosen = parser.parse_args(list(words))
    if chosen.public and not chosen.push:
        parser.error("--public: goes with --push")
    from rich.console import Console  # noqa: PLC0415  torch is imported only when there is work

    from eartune.cli.show import export_table  # noqa: PLC0415
    from eartune.reporting import Terminal  # noqa: PLC0415  torch is imported only when there is work
    from eartune.verbs.export import export  # noqa: PLC0415
    from eartune.verbs.export_one import CardNotes  # noqa: PLC0415

    exports = export(
        chosen.model,
        to=chosen.to,
        for_mimir=chosen.app == "mimir",
        quantize=chosen.quantize,
        out=chosen.out,
        data=chosen.data,
        num_utterances=chosen.utterances,
        limit_points=chosen.wer_limit,
        against_base=not chosen.no_base,
        checkpoint=chosen.checkpoint,
        base_model=chosen.base_model,
        original=chosen.original,
        replace=chosen.overwrite,
        card_notes=CardNotes(chosen.license, chosen.data_notes),
        push_to=chosen.push,
        public=chosen.public,
        reporter=Terminal(),
    )
    if any(exported.gate for exported in exports):
        Console(highlight=False).print(export_table(exports))
    for exported in exports:
        print(f"exported: {exported.path}")
    return 0


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _points(text: str) -> float:
    try:
        points = float(text)
    except ValueError:
        points = -1.0
    if not 0 <= points <= 100:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected points of WER, such as 0.5")
    return points
