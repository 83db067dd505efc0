"""Arguments and output of `eartune demo`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eartune.cli.main import Parser


def build_parser() -> Parser:
    parser = Parser("demo")
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder for everything; default runs/demo")
    return parser


def run(words: Sequence[str]) -> int:
    """Run the demonstration and print the scores before and after."""
    chosen = build_parser().parse_args(list(words))
    from eartune.cli.show import show_demonstration  # noqa: PLC0415  imports torch, which --help does not need
    from eartune.reporting import Terminal  # noqa: PLC0415
    from eartune.verbs.demo import demo  # noqa: PLC0415

    show_demonstration(demo(out=chosen.out, reporter=Terminal()))
    return 0
