"""The benchmark's command: options -> models, runs in turns, a table and a file."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.finetuning.figures import WARM_UP_STEPS, Needs, needs, ratios
from benchmarks.finetuning.material import choose_clips, write_in_plan_order
from benchmarks.whisper.machine import describe_machine
from benchmarks.whisper.material import write_made_up_speech
from eartune.errors import EartuneError
from eartune.files import write_json_atomic
from eartune.manifest import read_manifest
from eartune.verbs.library_logging import silence_libraries

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("ctc", "rnnt", "canary")
CONTENDERS = ("eartune", "nemo")
_MODULES = {"eartune": "benchmarks.finetuning.ours", "nemo": "benchmarks.finetuning.theirs"}
_SITE = "import sysconfig; print(sysconfig.get_paths()['purelib'])"


def main(words: Sequence[str]) -> dict[str, Any]:
    """Run the benchmark and return what it wrote."""
    asked = parse(words)
    console = Console(stderr=True)
    silence_libraries()
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    pythons = {"eartune": sys.executable, "nemo": asked.nemo_python}
    kinds: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="finetuning-", dir=asked.out.parent) as name:
        for kind in asked.kinds:
            runs = measure(kind, asked, pythons, Path(name).resolve(), console)
            found = {contender: needs(noted) for contender, noted in runs.items()}
            kinds[kind] = {
                "needs": {contender: asdict(of) for contender, of in found.items()},
                "ratios": ratios(found["eartune"], found["nemo"]),
                "runs": runs,
            }
            show(kind, found, Console(width=None if sys.stdout.isatty() else 100))
    result: dict[str, Any] = {
        "command": ["benchmarks/nemo_finetuning.py", *words],
        "date": datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds"),
        "machine": describe_machine() | {"load": os.getloadavg(), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS")},
        "installed_bytes": {name: installed_bytes(python) for name, python in pythons.items()},
        "kinds": kinds,
    }
    write_json_atomic(asked.out, result)
    for name, size in result["installed_bytes"].items():
        console.print(f"{name}: {size / 1e9:.2f} GB installed")
    console.print(f"written: {asked.out}")
    return result


def parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nemo_finetuning.py", description="NeMo's fine-tuning beside eartune's.")
    add = parser.add_argument
    add("--nemo-python", required=True, help="Python of an environment with NeMo (make test-nemo makes one)")
    add("--data", type=Path, help="folder with train.jsonl; default: noise")
    add("--longest-s", type=float, default=40.0, help="leave longer clips out; NeMo pads a batch to its longest clip")
    add("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    add("--size", choices=("middle", "miniature"), default="middle", help="width 256 and 8 layers, or 32 and 2")
    add("--rounds", type=int, default=2, help="runs of each contender, in turns")
    add("--steps", type=int, default=8, help=f"of a run; the first {WARM_UP_STEPS} are not counted")
    add("--batch-size", type=int, default=8)
    add("--out", type=Path, default=Path("runs/bench/nemo_finetuning.json"))
    asked = parser.parse_args(words)
    if asked.steps <= WARM_UP_STEPS:
        parser.error(f"--steps {asked.steps}: the first {WARM_UP_STEPS} are not counted; give more")
    return asked


def measure(
    kind: str, asked: argparse.Namespace, pythons: dict[str, str], folder: Path, console: Console
) -> dict[str, list[dict[str, Any]]]:
    """Build a model of a kind and let the contenders train it in turns: A B A B."""
    count = asked.steps * asked.batch_size
    if asked.data:
        speech = read_manifest([asked.data / "train.jsonl"]).utterances
    else:
        speech = tuple(write_made_up_speech(folder / f"{kind}-audio", count, seed=0))
    texts = folder / f"{kind}.txt"
    texts.write_text("\n".join(utterance.text for utterance in speech), encoding="utf-8")
    _call([pythons["nemo"], "-m", "benchmarks.finetuning.build", kind, asked.size, str(texts), str(folder)])
    model = folder / f"{kind}.nemo"
    clips = choose_clips(kind, model, speech, count, longest_s=asked.longest_s)
    manifests = write_in_plan_order(kind, model, clips, folder / kind, batch_size=asked.batch_size)
    runs: dict[str, list[dict[str, Any]]] = {contender: [] for contender in CONTENDERS}
    for number in range(asked.rounds):
        for contender in CONTENDERS:
            own = folder / f"{kind}-{contender}-{number}"
            own.mkdir()
            described = {"kind": kind, "model": str(model), "batch_size": asked.batch_size, "folder": str(own)}
            description = own / "run.json"
            described |= {"manifest": str(manifests[contender]), "started": time.time()}
            description.write_text(json.dumps(described), encoding="utf-8")
            _call([pythons[contender], "-m", _MODULES[contender], str(description)])
            noted = json.loads((own / "noted.json").read_text(encoding="utf-8"))
            assert len(noted["steps"]) == asked.steps, f"{contender} made {len(noted['steps'])} steps"
            runs[contender].append(noted)
            console.print(f"{kind}, {contender}: {needs([noted]).step_seconds:.2f} s a step")
    return runs


def show(kind: str, found: dict[str, Needs], console: Console) -> None:
    table = Table("contender", "s a step", "of processor", "peak GB", "first step after", "imports", title=kind)
    for name, of in found.items():
        table.add_row(
            name,
            f"{of.step_seconds:.2f}",
            f"{of.step_processor_seconds:.2f}",
            f"{of.peak_bytes / 1e9:.2f}",
            f"{of.first_step_begins_s:.1f} s",
            f"{of.import_seconds:.1f} s",
        )
    times = ratios(found["eartune"], found["nemo"])
    names = ("step_seconds", "step_processor_seconds", "peak_bytes", "first_step_begins_s", "import_seconds")
    table.add_row("nemo / eartune", *(f"{times[name]:.2f}" for name in names))
    console.print(table)


def installed_bytes(python: str) -> int:
    """Return what the site-packages of an interpreter take on the disk, as their files' lengths."""
    site = Path(subprocess.run([python, "-c", _SITE], check=True, capture_output=True, text=True).stdout.strip())
    return sum(path.stat().st_size for path in site.rglob("*") if path.is_file() and not path.is_symlink())


def _call(command: Sequence[str]) -> None:
    # this clone, whatever is installed
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        end = "\n".join(done.stderr.splitlines()[-25:])
        raise EartuneError(f"{' '.join(command[1:])} ended with code {done.returncode}:\n{end}")
