"""Utterances -> hypotheses: batches of similar length, audio read ahead, results in the order of the input."""

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

# Cost of one more batch, as the seconds of encoder input computed in the same time: its tokens are decoded one after
# the other. Measured with whisper-tiny on a CPU; elsewhere kernel launches dominate, so few batches are best.
DECODING_OVERHEAD_S = {"cpu": 128.0}
OTHER_OVERHEAD_S = 10_000.0


class Stopped(Exception):  # noqa: N818  a request, not an error
    """Decoding was stopped on request."""


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
    """Decode utterances with the network in evaluation mode, and restore its mode afterwards.

    A batch takes at most the memory of `batch_size` full windows, so it can hold more short ones.
    Raises InputError before any decoding for utterances that cannot be decoded, and Stopped when `should_stop` returns
    true between two batches.
    """
    reasons = zip(utterances, model.findings(utterances, "decoding"), strict=True)
    raise_findings([f"{utterance.source}: {reason}" for utterance, reason in reasons if reason is not None])
    device = next(model.network.parameters()).device
    batches = group_by_length(model, utterances, batch_size=batch_size, options=options)
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


def group_by_length(
    model: SpeechModel, utterances: Sequence[Utterance], *, batch_size: int, options: DecodeOptions
) -> list[list[int]]:
    """Divide utterances into batches at the lowest cost, each within the memory of `batch_size` full windows.

    Longest first: a batch too large for the memory fails at once and not at the end.
    """
    device = next(model.network.parameters()).device
    # a decoded token counts as one encoder position in the cache
    decoder_s = options.max_length * model.window.position_s
    rows = []
    for index in sorted(range(len(utterances)), key=lambda index: -utterances[index].duration_s):
        duration_s = utterances[index].duration_s
        input_s = model.window.width_s(duration_s, options.window) + decoder_s
        rows.append(Window((PlacedUtterance(index, 0.0, duration_s),), speech_s=duration_s, input_s=input_s))
    limits = Limits(
        input_s_total=batch_size * (model.window.max_s + decoder_s),
        overhead_s=DECODING_OVERHEAD_S.get(device.type, OTHER_OVERHEAD_S),
    )
    return [[row.clips[0].index for row in batch.windows] for batch in micro_batches(rows, limits)]


def _load(utterances: Sequence[Utterance]) -> list[Waveform]:
    return [load_waveform(utterance) for utterance in utterances]
