"""Letters that a tokenizer lacks, learnt here and written by NeMo, by each kind of Parakeet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import soundfile
import torch

from eartune.config import resolve_config
from eartune.config.resolve import override
from eartune.families._nemo.archive import WEIGHTS, read_archive
from eartune.families.parakeet.load import load, write_nemo
from eartune.families.parakeet.vocabulary import extend
from eartune.families.registry import family
from eartune.manifest import read_manifest
from eartune.model import DecodeOptions
from eartune.verbs.open_model import locate, open_located
from eartune.verbs.train import train

nemo_asr = pytest.importorskip("nemo.collections.asr", reason="NeMo is not installed here: make test-nemo")
from tests.exports import export_one  # noqa: E402
from tests.nemo.judge.compare import changed  # noqa: E402  they need NeMo
from tests.nemo.judge.models import build  # noqa: E402
from tests.nemo.judge.test_parakeet import compare  # noqa: E402

pytestmark = pytest.mark.nemo

KINDS = ("ctc", "rnnt", "tdt", "hybrid")
TEXTS = (
    "доброе утро", "кот сидел", "открой дверь", "семь красных птиц", "добрый день", "эта кошка", "семь роз", "открой",
)  # fmt: skip


@pytest.fixture(scope="module", params=KINDS)
def tuned(request: pytest.FixtureRequest, shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run on eight clips with Russian texts: (kind, original archive, manifest, run)."""
    kind, folder = request.param, tmp_path_factory.mktemp(request.param)
    models = shared_dir / "models" / "nemo-tiny"
    clips = models / "audio" / f"parakeet-{kind}"
    rows = [json.loads(line) for line in (clips / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    manifest = folder / "russian.jsonl"
    told = [
        row | {"audio_filepath": str(clips / row["audio_filepath"]), "text": text, "lang": "ru"}
        for row, text in zip(rows, TEXTS, strict=True)
    ]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in told), encoding="utf-8")
    original = models / f"parakeet-{kind}.nemo"
    values = {
        "base_model": str(original), "train": [str(manifest)], "output_dir": str(folder / "run"),
        "extend_vocabulary": True, "r": 16, "lora_alpha": 32, "learning_rate": 0.01, "num_train_epochs": 200,
        "per_device_train_batch_size": 8, "precision": "fp32", "dataloader_num_workers": 0, "save_strategy": "steps",
        "save_steps": 200, "report_to": "none",
    }  # fmt: skip
    config = resolve_config(overrides=[override(name, value) for name, value in values.items()], family="parakeet")
    return kind, original, manifest, train(config)


def test_nemo_writes_the_words_that_were_learnt(tuned: Any, tmp_path: Path) -> None:
    kind, original, manifest, run = tuned
    out = tmp_path / "tuned.nemo"
    export_one(run.path, to="nemo", out=out)
    utterances = read_manifest([manifest]).utterances
    waveforms = [soundfile.read(utterance.audio, dtype="float32")[0] for utterance in utterances]
    ours = open_located(locate(str(run.path))).transcribe_batch(waveforms, utterances, DecodeOptions())
    assert tuple(ours) == TEXTS
    theirs = restore(out)
    assert theirs.tokenizer.vocab_size == 96 + len(set("".join(TEXTS)) - {" "})
    assert written_by(theirs, waveforms) == ours
    if kind == "hybrid":
        theirs.change_decoding_strategy(decoder_type="ctc")
        assert written_by(theirs, waveforms) == ours
    if kind in ("tdt", "hybrid"):
        # what NeMo's own change_vocabulary loses
        assert type(theirs.loss._loss).__name__ == "TDTLossNumba"
        assert theirs.loss._loss.blank == theirs.tokenizer.vocab_size == theirs.decoder.blank_idx
    changed = {
        WEIGHTS,
        "model_config.yaml",
        *(n for n in read_archive(original).members if "_tokenizer." in n or "_vocab" in n),
    }
    before, after = read_archive(original), read_archive(out)
    assert list(before.members) == list(after.members)
    assert {name for name in before.members if content(before, name) != content(after, name)} == changed


def test_nemo_reads_the_files_of_the_tokenizer_as_it_would_have_written_them(tuned: Any, tmp_path: Path) -> None:
    _, _, _, run = tuned
    out = tmp_path / "tuned.nemo"
    export_one(run.path, to="nemo", out=out)
    theirs, again = restore(out), tmp_path / "again.nemo"
    theirs.save_to(str(again))
    archive = read_archive(again)
    assert archive.config["tokenizer"].keys() == read_archive(out).config["tokenizer"].keys()
    for name in ("decoder", "joint", "aux_ctc", "labels"):
        assert archive.config.get(name) == read_archive(out).config.get(name), name
    model = archive.file(archive.config["tokenizer"]["model_path"])
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
    assert len(pieces) == theirs.tokenizer.vocab_size


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("ctc", {"spm": {"model_type": "unigram", "vocab_size": 100}}),
        ("ctc", {"encoder__use_bias": False, "spm": {"normalization_rule_name": "identity"}}),
        ("rnnt", {"joint__jointnet__activation": "tanh", "decoder__prednet__pred_rnn_layers": 2}),
        ("tdt", {"joint__jointnet__dropout": 0.2, "decoder__prednet__dropout": 0.2}),
        ("hybrid-rnnt", {"spm": {"model_type": "unigram", "vocab_size": 100}}),
        ("hybrid-tdt", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@torch.no_grad()
def test_an_extended_model_is_the_same_one_in_nemo(kind: str, changes: dict[str, Any], tmp_path: Path) -> None:
    original, out = build(kind, tmp_path / "built", **changes), tmp_path / "extended.nemo"
    ours = load(family("parakeet").find(str(original)))
    extend(ours, "жщэ☯")
    changed(ours.network)
    write_nemo(ours, original, out)
    theirs = restore(out)
    for text in ("the жщ pump ☯☯", "щэ", "закройте жэ клапан", "漢 ж"):
        assert theirs.tokenizer.text_to_ids(text) == ours.labeler.tokens([text])[0]
    compare(theirs, ours.network, ours.log_mel)


def restore(path: Path) -> Any:
    return nemo_asr.models.ASRModel.restore_from(str(path), map_location="cpu", strict=True).eval()


def content(archive: Any, name: str) -> bytes:
    with archive.open_member(name) as file:
        return bytes(file.read())


@torch.no_grad()
def written_by(theirs: Any, waveforms: Any) -> list[str]:
    """Return what NeMo transcribes; its transducers write in the way that their archive says."""
    return [hypothesis.text for hypothesis in theirs.transcribe(waveforms, batch_size=4, verbose=False)]
