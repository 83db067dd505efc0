"""Speech to verify exports on, by default a sample of the validation data, and the model's outputs for it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import eartune
from eartune.errors import InputError
from eartune.export.exporter import FamilyExports
from eartune.export.gate import NUM_LOGITS, ReferenceOutputs, Sample, check_segments
from eartune.export.long_clip import LongClip
from eartune.export.record import SampleRecord
from eartune.manifest import Utterance, load_waveform, read_manifest
from eartune.model import DecodeOptions, SpeechModel
from eartune.origin import describe_data
from eartune.reporting import Reporter
from eartune.runtimes.limits import WINDOW_S
from eartune.runtimes.runtime import MAX_TOKENS
from eartune.training.decoding import decode_utterances
from eartune.training.device import best_device
from eartune.verbs.open_model import Located

DEMO_SPEECH = Path(eartune.__file__).parent / "demo_speech"
SEED = 0


def choose_sample(
    located: Located, model: SpeechModel, data: Sequence[Path], *, count: int, report: Reporter
) -> tuple[Sample, tuple[Utterance, ...]]:
    """Sample utterances from `data`, by default from the model's validation speech, and read their audio.

    Without either they come from the training speech, and without an origin.json from the bundled sentences.
    Raises InputError where the manifests are missing or hold no utterance that fits into a window.
    """
    paths, source = _manifests(located, data)
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise InputError(f"{missing[0]}: {source} is not there; give speech to verify the export on: --data MANIFEST")
    manifest = read_manifest(paths, default_language=located.language, skip_bad=True)
    longest_s = min(WINDOW_S, model.window.max_s)
    fitting = [utterance for utterance in manifest.utterances if utterance.duration_s <= longest_s and utterance.text]
    if not fitting:
        raise InputError(f"{paths[0]}: no utterance is at most {longest_s:g} s long, so exports cannot be verified")
    chosen = sorted(random.Random(SEED).sample(range(len(fitting)), min(count, len(fitting))))
    utterances = tuple(fitting[index] for index in chosen)
    report.line(f"verifying it on {len(utterances)} of {len(manifest.utterances)} utterances of {source} ({paths[0]})")
    described = SampleRecord(what=source, **describe_data(utterances, paths, skipped=0).to_json())
    sample = Sample(
        waveforms=tuple(load_waveform(utterance) for utterance in utterances),
        references=tuple(utterance.text for utterance in utterances),
        languages=tuple(model.languages(utterance).decoding for utterance in utterances),
        text_languages=tuple(model.languages(utterance).text for utterance in utterances),
        described=described,
    )
    return sample, utterances


@torch.inference_mode()
def compute_reference_outputs(
    model: SpeechModel,
    sample: Sample,
    utterances: Sequence[Utterance],
    exports: FamilyExports,
    report: Reporter,
) -> ReferenceOutputs:
    """Decode the sample with the model itself, in float32, on the best device."""
    model.network.to(best_device())
    with report.task("decoding with the model itself", len(utterances)) as task:
        hypotheses = decode_utterances(
            model,
            utterances,
            batch_size=8,
            # runtimes decode a clip without thresholds
            options=DecodeOptions(max_length=MAX_TOKENS, no_speech=False),
            precision="fp32",
            task=task,
        )
    long = transcribe_long_with_model(model, sample)
    logits: list[Any] = []
    if exports.first_token_logits is not None:
        clips = list(zip(sample.waveforms, sample.languages, strict=True))[:NUM_LOGITS]
        logits = [exports.first_token_logits(model, *clip) for clip in clips]
    return ReferenceOutputs(tuple(hypotheses), tuple(logits), long)


@torch.inference_mode()
def transcribe_long_with_model(model: SpeechModel, sample: Sample) -> LongClip:
    """Decode the long recording with a model itself, which is moved to the CPU afterwards."""
    model.network.to(best_device())
    joined = Utterance(audio=Path("joined.wav"), text="", duration_s=0.0, language=sample.long.language)
    segments = model.transcribe_long(sample.long.waveform_S, joined)
    model.network.to("cpu")
    return check_segments(segments, sample)


def _manifests(located: Located, data: Sequence[Path]) -> tuple[list[Path], str]:
    if data:
        return list(data), "the given speech"
    known = (located.origin.data if located.origin else None) or {}
    for split, source in (("val", "the validation speech"), ("train", "the training speech")):
        if split in known:
            return [Path(path) for path in known[split].manifests], source
    return [DEMO_SPEECH / "test.jsonl"], "the bundled sentences"
