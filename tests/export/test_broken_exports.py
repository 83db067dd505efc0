"""Artefacts that are broken on purpose, each in its own runtime: the gate lets none of them pass, and the whole one."""

import copy
import dataclasses
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from eartune.audio import decode
from eartune.errors import EartuneError
from eartune.export.gate import Gate, LongFormResult, ReferenceOutputs, Sample, check, check_segments
from eartune.export.record import SampleRecord
from eartune.families.registry import exports_of
from eartune.families.whisper.load import find, load
from eartune.families.whisper.model import WhisperModel
from eartune.manifest import Segment, Utterance
from eartune.model import DecodeOptions
from eartune.runtimes.registry import open_runtime
from eartune.runtimes.runtime import LongTranscript, RuntimeBase
from tests.old_records import SPEECH
from tests.tiny import clips_in

pytestmark = pytest.mark.runtimes

EXPORTS = exports_of("whisper").formats
FORMATS = {"ggml": "f16", "ctranslate2": "float32", "openai": "float32", "onnx": "float32", "hf": "float32"}


@pytest.fixture(scope="module")
def model(real_tiny_en: Path) -> WhisperModel:
    model = load(find(str(real_tiny_en)))
    model.network.eval()
    return model


@pytest.fixture(scope="module")
def sample(demo_clips: list[tuple[Path, str]]) -> Sample:
    chosen = demo_clips[:3]
    return Sample(
        waveforms=tuple(decode(path) for path, _ in chosen),
        references=tuple(text for _, text in chosen),
        languages=("en",) * 3,
        text_languages=("en",) * 3,
        described=SampleRecord(what="the demonstration's sentences", **SPEECH),
    )


@pytest.fixture(scope="module")
def reference_outputs(model: WhisperModel, sample: Sample) -> ReferenceOutputs:
    hypotheses = model.transcribe_batch(sample.waveforms, clips_in(*sample.languages), DecodeOptions(max_length=224))
    joined = Utterance(audio=Path("joined.wav"), text="", duration_s=30.0, language="en")
    segments = model.transcribe_long(sample.long.waveform_S, joined)
    return ReferenceOutputs(tuple(hypotheses), (), check_segments(segments, sample))


def written(model: WhisperModel, form: str, folder: Path) -> Path:
    exporter, quantization = EXPORTS[form], FORMATS[form]
    folder.mkdir()
    exported = folder / (exporter.declared.file_name or "").format(quantization=quantization)
    exporter.write(model, exported, quantization, None)
    return exported


def judged(exported: Path, form: str, sample: Sample, reference_outputs: ReferenceOutputs) -> Gate:
    return check(exported, open_runtime, sample=sample, reference_outputs=reference_outputs, quantization=FORMATS[form])


def refused(exported: Path, form: str, sample: Sample, reference_outputs: ReferenceOutputs) -> str:
    """Return what the gate says against an export; nothing if it lets it pass."""
    try:
        return "; ".join(judged(exported, form, sample, reference_outputs).failures)
    except EartuneError as error:
        return str(error)


def changed(model: WhisperModel, change: Callable[[Any], None]) -> WhisperModel:
    other = copy.copy(model)
    other.network = copy.deepcopy(model.network)
    with torch.no_grad():
        change(other.network)
    return other


def transposed(network: Any) -> None:
    weight = network.model.decoder.layers[0].encoder_attn.v_proj.weight
    weight.copy_(weight.clone().T)


def shifted_tokens(network: Any) -> None:
    embedding = network.model.decoder.embed_tokens.weight
    embedding.copy_(embedding.clone().roll(1, 0))


@pytest.mark.parametrize("form", FORMATS)
def test_a_whole_export_passes(
    form: str, model: WhisperModel, sample: Sample, reference_outputs: ReferenceOutputs, tmp_path: Path
) -> None:
    gate = judged(written(model, form, tmp_path / "whole"), form, sample, reference_outputs)
    assert gate.failures == []
    # whisper.cpp's own attention changes a word now and then
    assert gate.parity.num_differing == 0 or form == "ggml"
    assert gate.long is not None
    assert gate.long.check.passes


@pytest.mark.parametrize("change", [transposed, shifted_tokens])
@pytest.mark.parametrize("form", FORMATS)
def test_a_writer_that_transposes_or_shifts_is_caught(
    form: str,
    change: Callable[[Any], None],
    model: WhisperModel,
    sample: Sample,
    reference_outputs: ReferenceOutputs,
    tmp_path: Path,
) -> None:
    """What the writer would get wrong in the export, it is given wrong here."""
    exported = written(changed(model, change), form, tmp_path / "broken")
    told = refused(exported, form, sample, reference_outputs)
    assert "of the words differ from the model's" in told or "cannot" in told, told
    assert copy.deepcopy(model.network).state_dict().keys() == model.network.state_dict().keys()


def _ggml_mels(exported: Path) -> None:
    data = bytearray(exported.read_bytes())
    # magic, vocabulary, audio: context, state, head, layer, text: context, state, head, layer, then mel bins
    struct.pack_into("<i", data, 4 * 10, 128)
    exported.write_bytes(data)


def _openai_mels(exported: Path) -> None:
    checkpoint = torch.load(exported, weights_only=True)
    checkpoint["dims"]["n_mels"] = 128
    torch.save(checkpoint, exported)


def _folder_mels(exported: Path) -> None:
    path = exported / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"feature_size": 128}))


MELS = {
    "ggml": _ggml_mels, "openai": _openai_mels, "ctranslate2": _folder_mels, "onnx": _folder_mels, "hf": _folder_mels,
}  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
def test_a_wrong_number_of_mel_bins_is_caught(
    form: str, model: WhisperModel, sample: Sample, reference_outputs: ReferenceOutputs, tmp_path: Path
) -> None:
    exported = written(model, form, tmp_path / "broken")
    MELS[form](exported)
    assert refused(exported, form, sample, reference_outputs)


def _ggml_tokens(exported: Path) -> None:
    data = bytearray(exported.read_bytes())
    # after twelve sizes come the mel filters (two sizes, 80 x 201 numbers), then each token with its length
    place = 4 * 12 + 8 + 4 * 80 * 201
    (count,) = struct.unpack_from("<i", data, place)
    first = place + 4
    tokens = []
    at = first
    for _ in range(count):
        (length,) = struct.unpack_from("<i", data, at)
        tokens.append(bytes(data[at + 4 : at + 4 + length]))
        at += 4 + length
    tokens = [tokens[-1], *tokens[:-1]]
    data[first:at] = b"".join(struct.pack("<i", len(token)) + token for token in tokens)
    exported.write_bytes(data)


def _folder_tokens(exported: Path) -> None:
    path = exported / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {token: (number + 1) % len(vocabulary) for token, number in vocabulary.items()}
    path.write_text(json.dumps(tokenizer))


TOKENS = {"ggml": _ggml_tokens, "ctranslate2": _folder_tokens, "onnx": _folder_tokens, "hf": _folder_tokens}


@pytest.mark.parametrize("form", TOKENS)
def test_a_vocabulary_that_is_one_off_is_caught(
    form: str, model: WhisperModel, sample: Sample, reference_outputs: ReferenceOutputs, tmp_path: Path
) -> None:
    exported = written(model, form, tmp_path / "broken")
    TOKENS[form](exported)
    assert refused(exported, form, sample, reference_outputs)


class WithoutTimes(RuntimeBase):
    """A program with the model's words, and one time for all of them."""

    def __init__(self, reference_outputs: ReferenceOutputs) -> None:
        self.words = iter(reference_outputs.hypotheses)

    def transcribe(self, *_: Any) -> str:
        return next(self.words)

    def segments(self, *_: Any) -> LongTranscript:
        return LongTranscript((Segment(0.0, 30.0, "all of it"),), 3)


def test_times_that_the_model_has_and_the_export_lost_are_a_failure(
    sample: Sample, reference_outputs: ReferenceOutputs, tmp_path: Path
) -> None:
    assert reference_outputs.long is not None
    assert reference_outputs.long.passes
    gate = check(
        tmp_path,
        lambda _: WithoutTimes(reference_outputs),
        sample=sample,
        reference_outputs=reference_outputs,
        quantization="f16",
    )
    assert gate.parity.passes
    [failure] = gate.failures
    assert failure.startswith("a long recording fails")
    assert gate.to_json()["long_recording"]["artefact"]["num_fallbacks"] == 3


def test_a_model_that_lost_its_times_itself_is_exported_with_a_note(
    sample: Sample, reference_outputs: ReferenceOutputs, tmp_path: Path
) -> None:
    assert reference_outputs.long is not None
    lost = dataclasses.replace(
        reference_outputs, long=dataclasses.replace(reference_outputs.long, share_near=0.0, share_of_edges=0.0)
    )
    gate = check(
        tmp_path, lambda _: WithoutTimes(reference_outputs), sample=sample, reference_outputs=lost, quantization="f16"
    )
    assert gate.failures == []
    assert gate.long is None
    [note] = gate.warnings
    assert note.startswith("the model itself, on a long recording, fails: segment times do not match the speech")
    with_base = dataclasses.replace(gate, base_long=LongFormResult(reference_outputs.long, 0))
    assert "its base model passes, so tuning degraded the times" in with_base.warnings[0]
