"""Arguments and output of `eartune prepare SOURCE --out DIR`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eartune.cli.main import Parser

EPILOG = """\
A folder needs a transcript for each recording: clip.txt (or .lab) beside clip.wav, or one table in the folder with a
column for the file and one for the text (metadata.csv). A table is CSV, TSV, NeMo JSONL, a JSON list or Hugging Face
rows; LJSpeech's metadata.csv, LibriSpeech's *.trans.txt and Common Voice's language folders need no conversion.
Splits share no speaker, recording or sentence where the corpus allows it; suspect rows are reported last."""


def build_parser() -> Parser:
    parser = Parser("prepare", epilog=EPILOG)
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="a folder of recordings, or a table that names them"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for manifests, audio and audit.json")
    parser.add_argument("--language", "--lang", "-l", help="language of rows without one (en, ru, ...)")
    parser.add_argument(
        "--splits", type=float, nargs=3, default=(0.8, 0.1, 0.1), metavar=("TRAIN", "VAL", "TEST"), help="shares"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the split; default 0")
    parser.add_argument(
        "--reference", action="store_true", help="point to the recordings as they are, without conversion"
    )
    parser.add_argument("--max-duration", type=float, help="longest utterance accepted, in seconds")
    parser.add_argument("--skip-bad", action="store_true", help="skip rows that cannot be used, and report how many")
    return parser


def run(words: Sequence[str]) -> int:
    """Prepare and print the size of each split."""
    chosen = build_parser().parse_args(list(words))
    from eartune.cli.show_corpus import show_prepared  # noqa: PLC0415  imports numpy, which --help does not need
    from eartune.reporting import Terminal  # noqa: PLC0415
    from eartune.verbs.prepare import prepare  # noqa: PLC0415

    prepared = prepare(
        chosen.source,
        out=chosen.out,
        language=chosen.language,
        copy_audio=not chosen.reference,
        splits=tuple(chosen.splits),
        seed=chosen.seed,
        skip_bad=chosen.skip_bad,
        max_duration_s=chosen.max_duration,
        reporter=Terminal(),
    )
    show_prepared(prepared, chosen.out)
    return 0
