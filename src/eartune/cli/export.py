"""eartune export RUN_OR_MODEL --to FORMAT --out PLACE"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eartune.cli.main import Parser

FORMATS = {"nemo": "a .nemo file for NVIDIA's NeMo", "hf": "a Hugging Face model folder"}


def build_parser() -> Parser:
    parser = Parser("export")
    parser.add_argument("model", metavar="RUN_OR_MODEL", help="a run, an adapter, a model folder or a .nemo file")
    formats = "; ".join(f"{name}: {what}" for name, what in FORMATS.items())
    parser.add_argument("--to", choices=tuple(FORMATS), required=True, help=formats)
    parser.add_argument("--out", type=Path, required=True, help="file or folder to write; must be new")
    parser.add_argument("--checkpoint", choices=("best", "last"), help="which model of a run; default: best, else last")
    parser.add_argument("--base-model", help="where the adapter's base model lies, if it has moved")
    parser.add_argument(
        "--original", type=Path, help="the .nemo file to take configuration and tokenizer from, for --to nemo"
    )
    return parser


def run(words: Sequence[str]) -> int:
    """Export and say where it is."""
    chosen = build_parser().parse_args(list(words))
    from eartune.reporting import Terminal  # noqa: PLC0415  torch is imported only when there is work
    from eartune.verbs.export import export  # noqa: PLC0415

    exported = export(
        chosen.model,
        to=chosen.to,
        out=chosen.out,
        checkpoint=chosen.checkpoint,
        base_model=chosen.base_model,
        original=chosen.original,
        reporter=Terminal(),
    )
    print(f"exported: {exported.path}")
    return 0
