"""Arguments and output of `eartune export RUN_OR_MODEL --to FORMAT,FORMAT`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from eartune.cli.main import Parser, positive
from eartune.family import Format, families, joined


def _by_format(describe: Callable[[Format], str]) -> str:
    """Describe each format, with its families where they differ; formats with an empty description are left out."""
    found: dict[str, dict[str, list[str]]] = {}
    for family in families().values():
        for name, declared in family.formats.items():
            if text := describe(declared):
                found.setdefault(name, {}).setdefault(text, []).append(family.title)
    return "; ".join(f"{name}: {_by_family(texts)}" for name, texts in found.items())


def _quantizations(declared: Format) -> str:
    """List the quantisations of a format; empty if there is only one."""
    first, *others = declared.quantizations
    return ", ".join([f"{first} (default)", *others]) if others else ""


def _by_family(texts: dict[str, list[str]]) -> str:
    if len(texts) == 1:
        return next(iter(texts))
    return ", or ".join(f"{text} ({joined(titles)})" for text, titles in texts.items())


def build_parser() -> Parser:
    parser = Parser("export")
    parser.add_argument("model", metavar="RUN_OR_MODEL", help="a run, an adapter, a model folder or a .nemo file")
    apps = tuple(dict.fromkeys(app for family in families().values() for app in family.apps))
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "--to",
        type=_names,
        default=(),
        metavar="FORMATS",
        help=f"separated by commas. {_by_format(lambda declared: declared.description)}",
    )
    target.add_argument("--for", dest="app", choices=apps, help="write the file for an app, with instructions")
    parser.add_argument(
        "--quantize",
        type=_names,
        default=(),
        metavar="KINDS",
        help=f"separated by commas, one file each. {_by_format(_quantizations)}",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder to write; several exports get a subfolder each. A name that ends in .bin, .pt or .nemo is the"
        " file itself. Default: export/ in the run's folder",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument(
        "--data",
        nargs="+",
        type=Path,
        default=(),
        help="manifests to test the export on; default: the run's validation data",
    )
    parser.add_argument(
        "--utterances", type=positive, default=40, help="number of utterances, sampled at random; default 40"
    )
    parser.add_argument(
        "--wer-limit",
        type=_points,
        metavar="POINTS",
        help="largest accepted change of the WER; default 0.2 for 16 and 32 bits, 1 for 8 and 5 bits, 2 for 4 bits",
    )
    parser.add_argument("--no-base", action="store_true", help="do not decode the long recording with the base model")
    parser.add_argument("--license", metavar="ID", help="for the model card: the licence's id on the hub (mit)")
    parser.add_argument(
        "--data-notes", metavar="TEXT", help="for the model card: source and licence of the training data"
    )
    parser.add_argument("--push", metavar="OWNER/NAME", help="upload to a private repository on the Hugging Face hub")
    parser.add_argument("--public", action="store_true", help="with --push: make the repository public")
    parser.add_argument("--checkpoint", choices=("best", "last"), help="which model of a run; default: best, else last")
    parser.add_argument("--base-model", help="the adapter's base model, if it has moved")
    parser.add_argument(
        "--original", type=Path, help="the .nemo file to take configuration and tokenizer from, for --to nemo"
    )
    return parser


def run(words: Sequence[str]) -> int:
    """Export, test what was written, and print its paths."""
    parser = build_parser()
    chosen = parser.parse_args(list(words))
    if chosen.public and not chosen.push:
        parser.error("--public: needs --push")
    from rich.console import Console  # noqa: PLC0415

    from eartune.cli.show import export_table  # noqa: PLC0415  imports torch, which --help does not need
    from eartune.reporting import Terminal  # noqa: PLC0415
    from eartune.verbs.export import export  # noqa: PLC0415
    from eartune.verbs.export_one import CardNotes  # noqa: PLC0415

    exports = export(
        chosen.model,
        to=chosen.to,
        for_app=chosen.app,
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
