"""Dispatch of `eartune` to its verbs; errors become a message and an exit code.

Exit codes: 0 done, 2 the user's input is wrong, 1 anything else, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from eartune import __version__
from eartune.errors import EartuneError, nearest

VERBS = {
    "prepare": "turn a folder of recordings or a table into train, val and test manifests",
    "train": "fine-tune a model on your speech",
    "evaluate": "score a model (and its base model) on a manifest: WER, CER, the worst utterances",
    "merge": "merge an adapter into its base model, and verify the result",
    "export": "write a fine-tuned model for whisper.cpp, faster-whisper, ONNX, NeMo, ..., and test it there",
    "transcribe": "transcribe recordings: text, JSON, SRT or VTT",
    "demo": "run all steps on bundled speech, in minutes on a CPU",
}
DEBUG = "EARTUNE_DEBUG"
# OpenMP threads that busy-wait for each other are several times slower as soon as anything else runs on the machine,
# and no faster when nothing does.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


class Parser(argparse.ArgumentParser):
    """An ArgumentParser with one-line errors that suggest the nearest option."""

    def __init__(self, verb: str, **settings: str | bool) -> None:
        super().__init__(
            prog=f"eartune {verb}",
            description=VERBS[verb][0].upper() + VERBS[verb][1:] + ".",
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **settings,  # type: ignore[arg-type]
        )

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ")
        hint = ""
        if unknown != message:
            known = [flag for action in self._actions for flag in action.option_strings]
            hint = nearest(unknown.split()[0], known)
            message = f"{self.prog}: unknown argument {unknown.split()[0]}."
        else:
            message = f"{self.prog}: {message}"
        self.exit(2, f"error: {message}{hint} See {self.prog} --help\n")


LANGUAGE_TOKEN = (
    "models with language tokens: use that of this language for languages without one (ru, or cnh=my,tok=en);"
    " default: as trained"
)


def positive(text: str) -> int:
    """Parse a whole number above zero, for argparse."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number above 0")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if words else 2
    if words[0] in ("--version", "-V"):
        print(f"eartune {__version__}")
        return 0
    verb = words[0]
    if verb not in VERBS:
        print(
            f"error: eartune has no command {verb!r}.{nearest(verb, list(VERBS))} See eartune --help", file=sys.stderr
        )
        return 2
    if (finding := _not_utf8(words)) is not None:
        print(f"error: {finding}", file=sys.stderr)
        return 2
    try:
        return int(importlib.import_module(f"eartune.cli.{verb}").run(words[1:]))
    except SystemExit as finished:
        return finished.code if isinstance(finished.code, int) else 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except EartuneError as error:
        print(f"error: {error}" if error.exit_code != 130 else str(error), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # one line for the user; EARTUNE_DEBUG adds the traceback
        return _unexpected(error)


def _not_utf8(words: Sequence[str]) -> str | None:
    """Return a finding on the first argument with bytes that are not UTF-8, which Python reads as lone surrogates."""
    for before, word in zip(["", *words], words, strict=False):
        if not word.isascii() and re.search("[\ud800-\udfff]", word):
            option = f"{before}: " if before.startswith("-") else ""
            return f"{option}{word!r:.80} holds bytes that are not UTF-8; write it in UTF-8, or rename the file"
    return None


def _unexpected(error: Exception) -> int:
    if os.environ.get(DEBUG):
        traceback.print_exc()
    first = (str(error).strip().splitlines() or [""])[0]
    if "out of memory" in str(error).lower():
        advice = (
            "lower --per-device-train-batch-size (and raise --gradient-accumulation-steps), or --gradient-checkpointing"
        )
        print(f"error: out of memory: {first[:200]}; {advice}", file=sys.stderr)
    else:
        print(
            f"error: {type(error).__name__}: {first[:300]} (a defect in eartune, or a damaged file; "
            f"set {DEBUG}=1 to see where)",
            file=sys.stderr,
        )
    return 1


def _help() -> str:
    lines = ["usage: eartune COMMAND ...", "", "Fine-tune speech recognition models on your own speech.", ""]
    lines += [f"  {verb:<11} {description}" for verb, description in VERBS.items()]
    lines += ["", "eartune COMMAND --help describes a command; eartune --version prints the version."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
