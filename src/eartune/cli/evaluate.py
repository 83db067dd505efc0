"""Arguments and output of `eartune evaluate RUN_OR_MODEL --data test.jsonl --out DIR`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eartune.cli.main import LANGUAGE_TOKEN, Parser, positive


def build_parser() -> Parser:
    parser = Parser("evaluate")
    parser.add_argument(
        "model",
        metavar="RUN_OR_MODEL",
        help="a run, an adapter, a model folder, a hub id, a .pt or a .nemo file, or an export",
    )
    parser.add_argument("--data", nargs="+", type=Path, required=True, help="manifests to evaluate on")
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for hypotheses.jsonl and scores.json; default: named after the model and the data",
    )
    parser.add_argument("--no-base", action="store_true", help="do not evaluate the base model for comparison")
    parser.add_argument("--checkpoint", choices=("best", "last"), help="which model of a run; default: best, else last")
    parser.add_argument("--base-model", help="the adapter's base model, if it has moved")
    parser.add_argument(
        "--language", "--lang", "-l", help="language of rows without one; default: as trained, or detected"
    )
    parser.add_argument("--language-token", help=LANGUAGE_TOKEN)
    parser.add_argument("--skip-bad", action="store_true", help="skip rows that cannot be used, and report how many")
    parser.add_argument("--batch-size", type=positive, default=16, help="utterances decoded at once; default 16")
    parser.add_argument("--num-beams", type=positive, default=1, help="beams; default 1, greedy")
    parser.add_argument(
        "--window",
        choices=("padded", "short"),
        default="padded",
        help="encoder input: padded (default, the standard) is the model's full window; short ends soon after the"
        " utterance, which is faster, and is for models trained with short windows",
    )
    parser.add_argument("--precision", choices=("auto", "bf16", "fp16", "fp32"), default="fp32", help="default fp32")
    parser.add_argument("--gpu", "-g", type=int, help="index of the GPU")
    return parser


def run(words: Sequence[str]) -> int:
    """Evaluate and print the scores."""
    chosen = build_parser().parse_args(list(words))
    from eartune.cli.show import show_evaluation  # noqa: PLC0415  imports torch, which --help does not need
    from eartune.model import DecodeOptions  # noqa: PLC0415
    from eartune.reporting import Terminal  # noqa: PLC0415
    from eartune.verbs.evaluate import evaluate  # noqa: PLC0415

    out = chosen.out or _default_out(chosen.model, chosen.data)
    evaluation = evaluate(
        chosen.model,
        data=chosen.data,
        out=out,
        against_base=not chosen.no_base,
        checkpoint=chosen.checkpoint,
        base_model=chosen.base_model,
        language=chosen.language,
        language_token=chosen.language_token,
        skip_bad=chosen.skip_bad,
        batch_size=chosen.batch_size,
        options=DecodeOptions(num_beams=chosen.num_beams, window=chosen.window),
        precision=chosen.precision,
        gpu=chosen.gpu,
        reporter=Terminal(),
    )
    show_evaluation(evaluation)
    return 0


def _default_out(model: str, data: Sequence[Path]) -> Path:
    name = "-".join(path.stem for path in data)
    folder = Path(model)
    if (folder / "origin.json").is_file():
        return folder / "evaluation" / name
    return Path("evaluation") / f"{Path(model.rstrip('/')).stem}-{name}"
