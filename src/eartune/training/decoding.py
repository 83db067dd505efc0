"""Utterances -> hypotheses: batches of like length, audio read ahead, results in the order given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from eartune.manifest import Utterance
from eartune.reporting import Task
from eartune.speech_model import DecodeOptions, SpeechModel, Waveform
from eartune.training.batching.batches import load_waveform
from eartune.training.compiling import uncompiled
from eartune.training.device import Precision, autocast, casting_weights_once


class Stopped(Exception):  # noqa: N818  a request, not an error
    """Decoding was asked to stop before its end."""


def decode_utterances(
    speech: SpeechModel,
    utterances: Sequence[Utterance],
    *,
    batch_size: int,
    options: DecodeOptions,
    precision: Precision,
    task: Task,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[str]:
    """Decode utterances with the network in evaluation mode, and leave its mode as it was.

    Raises Stopped as soon as `should_stop` answers true between two batches.
    """
    device = next(speech.network.parameters()).device
    # longest first: a batch too large for the memory fails at once and not at the end
    order = sorted(range(len(utterances)), key=lambda index: -utterances[index].duration_s)
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    hypotheses = [""] * len(utterances)
    was_training = speech.network.training
    speech.network.eval()
    try:
        with (
            ThreadPoolExecutor(max_workers=1) as reader,
            casting_weights_once(speech.network),
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
                languages = [utterances[index].language for index in rows]
                texts = speech.transcribe_batch(waveforms, languages, options)
                for index, text in zip(rows, texts, strict=True):
                    hypotheses[index] = text
                task.advance(len(rows))
    finally:
        speech.network.train(was_training)
    return hypotheses


def _load(utterances: Sequence[Utterance]) -> list[Waveform]:
    return [load_waveform(utterance) for utterance in utterances]
