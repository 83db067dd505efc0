"""Utterances -> hypotheses: batches of like length, audio read ahead, results in the order given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from eartune.errors import raise_findings
from eartune.manifest import Utterance, load_waveform
from eartune.model import DecodeOptions, PlacedUtterance, SpeechModel, Waveform
from eartune.reporting import Task
from eartune.training.batching.plan import Limits, micro_batches
from eartune.training.batching.windows import Window
from eartune.training.compiling import uncompiled
from eartune.training.device import Precision, autocast, casting_weights_once

# What one batch more costs, in seconds of window that the encoder could see meanwhile: its tokens come one after the
# other. Measured with whisper-tiny on a CPU; elsewhere a step of decoding is launches, and batches are few.
OVERHEAD_S = {"cpu": 128.0}
MOST_OVERHEAD_S = 10_000.0


class Stopped(Exception):  # noqa: N818  a request, not an error
    """Decoding was asked to stop before its end."""


def decode_utterances(
    model: SpeechModel,
    utterances: Sequence[Utterance],
    *,
    batch_size: int,
    options: DecodeOptions,
    precision: Precision,
    task: Task,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[str]:
    """Decode utterances with the network in evaluation mode, and leave its mode as it was.

    A batch takes at most the memory of `batch_size` whole windows: of short ones it holds more.
    Raises InputError before any decoding for utterances that cannot be decoded, and Stopped as soon as `should_stop`
    answers true between two batches.
    """
    reasons = zip(utterances, model.decoding_findings(utterances), strict=True)
    raise_findings([f"{utterance.source}: {reason}" for utterance, reason in reasons if reason is not None])
    device = next(model.network.parameters()).device
    batches = like_lengths(model, utterances, batch_size=batch_size, options=options)
    hypotheses = [""] * len(utterances)
    was_training = model.network.training
    model.network.eval()
    try:
        with (
            ThreadPoolExecutor(max_workers=1) as reader,
            casting_weights_once(model.network),
            uncompiled(),
            autocast(device, precision),
        ):
            ahead = reader.submit(_load, [utterances[index] for index in batches[0]]) if batches else None
            for number, rows in enumerate(batches):
                assert ahead is not None
                waveforms = ahead.result()
                if number + 1 < len(batches):
                    ahead = reader.submit(_load, [utterances[index] for index in batches[number + 1]])
                if should_stop():
                    raise Stopped
                texts = model.transcribe_batch(waveforms, [utterances[index] for index in rows], options)
                for index, text in zip(rows, texts, strict=True):
                    hypotheses[index] = text
                task.advance(len(rows))
    finally:
        model.network.train(was_training)
    return hypotheses


def like_lengths(
    model: SpeechModel, utterances: Sequence[Utterance], *, batch_size: int, options: DecodeOptions
) -> list[list[int]]:
    """Divide utterances into batches at the least cost, none larger in memory than `batch_size` whole windows.

    Longest first: a batch too large for the memory fails at once and not at the end.
    """
    device = next(model.network.parameters()).device
    # a token of the text is kept as a position of the encoder is
    decoder_s = options.max_length * model.timestamp_step_s
    rows = []
    for index in sorted(range(len(utterances)), key=lambda index: -utterances[index].duration_s):
        duration_s = utterances[index].duration_s
        input_s = model.encoder_input_s(duration_s, options.window) + decoder_s
        rows.append(Window((PlacedUtterance(index, 0.0, duration_s),), speech_s=duration_s, input_s=input_s))
    limits = Limits(
        input_s_total=batch_size * (model.max_duration_s + decoder_s),
        overhead_s=OVERHEAD_S.get(device.type, MOST_OVERHEAD_S),
    )
    return [[row.clips[0].index for row in batch.windows] for batch in micro_batches(rows, limits)]


def _load(utterances: Sequence[Utterance]) -> list[Waveform]:
    return [load_waveform(utterance) for utterance in utterances]
