"""The benchmark beside NeMo's fine-tuning, where NeMo need not be: figures by hand count, and which steps both get."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from benchmarks.finetuning.command import parse
from benchmarks.finetuning.figures import Needs, needs, ratios
from benchmarks.finetuning.material import choose_clips, training_config, write_in_plan_order
from eartune.errors import InputError
from eartune.manifest import read_manifest
from eartune.training.batching.batches import Batch
from eartune.training.loss import SpeechLoss
from eartune.verbs.train import train
from tests.tiny import write_speech


def run(first_s: float, import_s: float, peak: int, *steps: tuple[float, float]) -> dict[str, object]:
    noted = [{"seconds": wall, "processor_seconds": processor} for wall, processor in steps]
    return {"first_step_begins_s": first_s, "import_seconds": import_s, "peak_bytes": peak, "steps": noted}


def test_a_step_is_the_median_of_runs_means_after_two_steps_that_warm_up() -> None:
    warm_up = ((90.0, 90.0), (50.0, 50.0))
    runs = [
        run(5.0, 4.0, 100, *warm_up, (1.0, 0.5), (3.0, 1.5)),
        run(7.0, 3.0, 300, *warm_up, (9.0, 1.0), (9.0, 3.0)),
        run(6.0, 5.0, 200, *warm_up, (4.0, 0.5), (2.0, 0.5)),
    ]
    assert needs(runs) == Needs(
        step_seconds=3.0, step_processor_seconds=1.0, first_step_begins_s=6.0, import_seconds=4.0, peak_bytes=200
    )


def test_a_ratio_says_how_many_times_as_much_the_other_needs() -> None:
    ours, theirs = Needs(2.0, 1.0, 4.0, 3.0, 100), Needs(3.0, 4.0, 10.0, 9.0, 150)
    assert ratios(ours, theirs) == {
        "step_seconds": 1.5, "step_processor_seconds": 4.0, "first_step_begins_s": 2.5, "import_seconds": 3.0,
        "peak_bytes": 1.5,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["ctc", "canary"])
def test_nemo_s_manifest_has_the_steps_that_eartune_makes(
    kind: str, tiny_nemo: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speech = read_manifest([write_speech(tmp_path / "speech", count=9)]).utterances
    clips = choose_clips(kind, tiny_nemo[kind], speech, 6)
    manifests = write_in_plan_order(kind, tiny_nemo[kind], clips, tmp_path / "written", batch_size=2)
    given, ordered = (
        [json.loads(line)["duration"] for line in manifests[name].read_text().splitlines()] for name in manifests
    )
    assert sorted(ordered) == sorted(given)
    input_s_total: list[float] = []
    loss = SpeechLoss.forward

    def watched(self: SpeechLoss, batches: Sequence[Batch]) -> torch.Tensor:
        input_s_total.append(sum(batch.speech_s for batch in batches))
        return loss(self, batches)

    monkeypatch.setattr(SpeechLoss, "forward", watched)
    train(training_config(kind, tiny_nemo[kind], manifests["eartune"], tmp_path / "run", batch_size=2))
    assert input_s_total == pytest.approx([sum(ordered[number : number + 2]) for number in (0, 2, 4)])


def test_too_few_clips_are_refused(tiny_nemo: dict[str, Path], tiny_speech: Path) -> None:
    speech = read_manifest([tiny_speech]).utterances
    with pytest.raises(InputError, match="6 clips can be trained on, and 7 are needed; lower --steps or --batch-size"):
        choose_clips("rnnt", tiny_nemo["rnnt"], speech, 7)


def test_fewer_steps_than_warm_up_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--nemo-python", "python", "--steps", "2"])
    assert "--steps 2: the first 2 are not counted; give more" in capsys.readouterr().err
