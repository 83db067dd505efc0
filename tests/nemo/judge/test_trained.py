"""Each kind tuned by each method until it writes other texts than before, exported, and judged by NeMo."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import TrainerCallback

from eartune.errors import Interrupted
from eartune.model import Network, SpeechModel
from eartune.verbs.evaluate import evaluate
from eartune.verbs.open_model import locate, open_located
from eartune.verbs.train import train
from tests.nemo.judge.tuning import KINDS, configured, write_exchanged
from tests.verbs.test_nemo_runs import WIDE, CtrlC

nemo_asr = pytest.importorskip("nemo.collections.asr", reason="NeMo is not installed here: make test-nemo")
from tests.exports import export_one  # noqa: E402
from tests.nemo.judge import test_canary, test_parakeet  # noqa: E402  they need NeMo

pytestmark = pytest.mark.nemo

ADAPTER = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0}
PARTS = {"unfreeze_encoder_last": 1, "unfreeze_head": True, "train_norms": True}
METHODS: dict[str, dict[str, Any]] = {
    "lora": {**ADAPTER, "learning_rate": 5e-3, "num_train_epochs": 80},
    "dora": {**ADAPTER, "use_dora": True, "learning_rate": 5e-3, "num_train_epochs": 60},
    # statistics of batches have to catch up with the weights
    "full": {"method": "full", "learning_rate": 1e-3, "num_train_epochs": 80},
    "partial": {**PARTS, "learning_rate": 3e-3, "num_train_epochs": 60},
    "hybrid": {**PARTS, **ADAPTER, "with_lora": True, "learning_rate": 3e-3, "num_train_epochs": 60},
    "wide": {**ADAPTER, "learning_rate": 5e-3, "num_train_epochs": 60},
}


def options_of(kind: str, method: str) -> dict[str, Any]:
    options = METHODS[method] | (WIDE[kind.removeprefix("parakeet-")] if method == "wide" else {})
    if kind == "canary" and "unfreeze_head" in options:
        options |= {"unfreeze_decoder_last": 1}
    return options


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_learnt_is_what_nemo_says(kind: str, method: str, shared_dir: Path, tmp_path: Path) -> None:
    manifest, rows = write_exchanged(shared_dir, kind, tmp_path)
    run = train(configured(shared_dir, kind, manifest, tmp_path / "run", **options_of(kind, method)))
    tuned = tmp_path / "tuned.nemo"
    assert export_one(run.path, to="nemo", out=tuned).largest_difference <= 1e-4
    wanted = [row["text"] for row in rows]
    found = evaluate(str(run.path), data=[manifest], out=tmp_path / "ours", against_base=False)
    assert list(found.tuned.hypotheses) == wanted
    theirs = restored(tuned)
    compare(kind, theirs, open_located(locate(str(run.path))))
    assert said_by_nemo(theirs, rows) == wanted


@pytest.mark.parametrize("kind", ["canary", "parakeet-tdt"])
def test_after_ctrl_c_nemo_has_what_there_is_and_later_the_rest(kind: str, shared_dir: Path, tmp_path: Path) -> None:
    manifest, rows = write_exchanged(shared_dir, kind, tmp_path)
    tuned = tmp_path / "tuned.nemo"
    config = configured(
        shared_dir, kind, manifest, tmp_path / "run", **options_of(kind, "lora") | {"export": str(tuned)}
    )

    def stop(_: Any) -> Iterable[TrainerCallback]:
        return [CtrlC(9)]

    with pytest.raises(Interrupted, match="stopped at step 10 of 80"):
        train(config, watch=stop)
    assert list((tmp_path / "run").glob("checkpoints/checkpoint-10"))
    compare(kind, restored(tuned), open_located(locate(str(tmp_path / "run"))))
    assert train(config).steps == 80
    assert said_by_nemo(restored(tuned), rows) == [row["text"] for row in rows]


def restored(path: Path) -> Any:
    """Restore a model as its users do, by the class that the archive names."""
    return nemo_asr.models.ASRModel.restore_from(str(path), map_location="cpu", strict=True).eval()


def said_by_nemo(theirs: Any, rows: list[dict[str, Any]]) -> list[str]:
    """Return NeMo's transcripts of the clips; Canary is asked in the languages of each.

    It leaves the encoder in training mode.
    """
    if not hasattr(theirs, "prompt"):
        clips = [row["audio_filepath"] for row in rows]
        return [hypothesis.text for hypothesis in theirs.transcribe(clips, batch_size=8, verbose=False)]
    asked = ("source_lang", "target_lang", "pnc")
    found = [
        theirs.transcribe([row["audio_filepath"]], verbose=False, **{slot: row[slot] for slot in asked})[0]
        for row in rows
    ]
    return [hypothesis.text.strip() for hypothesis in found]


def compare(kind: str, theirs: Any, model: SpeechModel) -> None:
    """Compare logits on a ragged batch: NeMo's of merged weights, and ours with the adapters beside them."""
    network: Network = model.network
    if isinstance(network, PeftModel):
        network = network.get_base_model()
    with torch.no_grad():
        judge = test_canary if kind == "canary" else test_parakeet
        judge.compare(theirs, network, model.log_mel)
