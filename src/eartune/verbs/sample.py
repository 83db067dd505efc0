"""The speech that exports are tried on: a sample of what the model was validated on, and what the model says of it."""

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
from eartune.manifest import Utterance, read_manifest
from eartune.model import DecodeOptions, SpeechModel
from eartune.origin import describe_data
from eartune.reporting import Reporter
from eartune.runtimes.runtime import MAX_TOKENS, WINDOW_S
from eartune.training.batching.batches import load_waveform
from eartune.training.decoding import decode_utterances
from eartune.training.device import best_device
from eartune.verbs.open_model import Located

DEMO_SPEECH = Path(eartune.__file__).parent / "demo_speech"
SEED = 0


def choose_sample(
    located: Located, model: SpeechModel, data: Sequence[Path], *, count: int, report: Reporter
) -> tuple[Sample, tuple[Utterance, ...]]:
    """Choose utterances from `data`, by default from what the model was validated on, and read their speech.

    Without either, from the training speech, and of a model of which nothing is known from the bundled sentences.
    Raises InputError where the manifests are gone or hold nothing that fits into a window.
    """
    paths, what = _manifests(located, data)
    gone = [path for path in paths if not path.is_file()]
    if gone:
        raise InputError(f"{gone[0]}: {what} is not there; name speech to try the export on: --data MANIFEST")
    manifest = read_manifest(paths, default_language=located.language, skip_bad=True)
    longest_s = min(WINDOW_S, model.max_duration_s)
    fitting = [utterance for utterance in manifest.utterances if utterance.duration_s <= longest_s and utterance.text]
    if not fitting:
        raise InputError(f"{paths[0]}: no utterance is at most {longest_s:g} s long, so no export can be tried on it")
    chosen = sorted(random.Random(SEED).sample(range(len(fitting)), min(count, len(fitting))))
    utterances = tuple(fitting[index] for index in chosen)
    report.line(f"trying it on {len(utterances)} of {len(manifest.utterances)} utterances of {what} ({paths[0]})")
    described = SampleRecord(what=what, **describe_data(utterances, paths, skipped=0).to_json())
    sample = Sample(
        waveforms=tuple(load_waveform(utterance) for utterance in utterances),
        references=tuple(utterance.text for utterance in utterances),
        languages=tuple(model.language_of(utterance) for utterance in utterances),
        text_languages=tuple(model.text_language(utterance) for utterance in utterances),
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
    """Decode the sample with the model itself, as it is on a training machine, in float32."""
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
    """Decode the long recording with a model itself, which is then on the CPU."""
    model.network.to(best_device())
    joined = Utterance(audio=Path("joined.wav"), text="", duration_s=0.0, language=sample.long.language)
    segments = model.transcribe_long(sample.long.waveform_S, joined)
    model.network.to("cpu")
    return check_segments(segments, sample)


def _manifests(located: Located, data: Sequence[Path]) -> tuple[list[Path], str]:
    if data:
        return list(data), "the speech named"
    known = (located.origin.data if located.origin else None) or {}
    for split, what in (("val", "the validation speech"), ("train", "the training speech")):
        if split in known:
            return [Path(path) for path in known[split].manifests], what
    return [DEMO_SPEECH / "test.jsonl"], "the bundled sentences"
