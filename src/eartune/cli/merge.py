"""Arguments and output of `eartune merge RUN --out DIR`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eartune.cli.main import Parser


def build_parser() -> Parser:
    parser = Parser("merge")
    parser.add_argument("run", metavar="RUN", help="a run, or a folder with an adapter")
    parser.add_argument("--out", type=Path, required=True, help="folder for the merged model; must be empty or new")
    parser.add_argument("--checkpoint", choices=("best", "last"), help="which model of a run; default: best, else last")
    parser.add_argument("--base-model", help="the adapter's base model, if it has moved")
    return parser


def run(words: Sequence[str]) -> int:
    """Merge and print the path of the merged model."""
    chosen = build_parser().parse_args(list(words))
    from eartune.reporting import Terminal  # noqa: PLC0415
    from eartune.verbs.library_logging import silence_libraries  # noqa: PLC0415
    from eartune.verbs.merge import merge  # noqa: PLC0415  imports torch, which --help does not need

    silence_libraries()
    merged = merge(
        chosen.run, out=chosen.out, checkpoint=chosen.checkpoint, base_model=chosen.base_model, reporter=Terminal()
    )
    print(f"merged model: {merged.path}")
    return 0
