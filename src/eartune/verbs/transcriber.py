"""Transcription with a model in eartune, or with an export in its own runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from eartune.errors import InputError
from eartune.export.record import read_record
from eartune.families._nemo.slots import other_languages
from eartune.families._nemo.spec import known_config
from eartune.family import family_named
from eartune.language_tokens import require_language
from eartune.manifest import Utterance, load_waveform
from eartune.model import DecodeOptions, SpeechModel
from eartune.reporting import Task as Progress
from eartune.runtimes.registry import open_runtime, recognise
from eartune.runtimes.runtime import Runtime, Task
from eartune.training.decoding import decode_utterances
from eartune.training.device import Precision, best_device
from eartune.verbs.open_model import Located, open_located

MAX_THREADS = 8
# loaded by eartune as models, with the same transcripts as in their own programs
MODEL_FORMATS = ("openai", "nemo", "hf")


@dataclass(frozen=True)
class Transcriber:
    """Decoding of utterances of at most `max_duration_s` each into hypotheses, and the language of the latter."""

    name: str
    max_duration_s: float
    text_language: Callable[[Utterance], str | None]
    decode: Callable[[Sequence[Utterance], Progress], list[str]]
    findings: Callable[[Sequence[Utterance]], list[str | None]] = lambda utterances: [None] * len(utterances)
    """the reasons why utterances cannot be decoded, as in SpeechModel.findings"""


@dataclass(frozen=True)
class ExportedModel:
    """An exported file or folder, its format, and the facts from its record, None without one."""

    path: Path
    format: str
    family: str | None
    language: str | None
    task: Task
    language_token: str | None = None


def find_export(
    spec: str, *, language: str | None = None, task: Task | None = None, language_token: str | None = None
) -> ExportedModel | None:
    """Return the export that a user names, or None where it is a model or a run; `language` by any of its names."""
    path = Path(spec).expanduser()
    found = recognise(path) if path.exists() else None
    if found is None or found in MODEL_FORMATS:
        return None
    record = read_record(path)
    if language is not None:
        language = require_language(language)
    elif record is not None:
        language = record.language
    return ExportedModel(
        path=path,
        format=found,
        family=record.family if record else None,
        language=language,
        task=task or (record.task if record else None) or "transcribe",
        language_token=language_token or (record.language_token if record else None),
    )


def open_in_runtime(path: Path, *, family: str | None, task: Task, language_token: str | None = None) -> Runtime:
    """Open an export in its runtime, on the CPU, with as many threads as torch has, at most 8, as more are slower."""
    return open_runtime(
        path,
        num_threads=min(MAX_THREADS, torch.get_num_threads()),
        task=task,
        family=family,
        language_token=language_token,
        read_nemo_config=known_config,
    )


def open_export(exported: ExportedModel) -> Runtime:
    """Open an export that a user named."""
    return open_in_runtime(
        exported.path, family=exported.family, task=exported.task, language_token=exported.language_token
    )


def open_transcriber(
    source: ExportedModel | Located, *, batch_size: int, options: DecodeOptions, precision: Precision
) -> AbstractContextManager[Transcriber]:
    """Open a model on the best device, or an export in its runtime, for which the options do not apply."""
    if isinstance(source, ExportedModel):
        return _export_transcriber(source)
    return _model_transcriber(source, batch_size=batch_size, options=options, precision=precision)


@contextmanager
def _export_transcriber(exported: ExportedModel) -> Iterator[Transcriber]:
    # one utterance at a time: the runtimes do not batch

    def language_of(utterance: Utterance) -> str | None:
        return utterance.language or exported.language

    def text_language(utterance: Utterance) -> str | None:
        # the runtimes translate into English only
        return "en" if exported.task == "translate" else language_of(utterance)

    with open_export(exported) as runtime:

        def decode(utterances: Sequence[Utterance], task: Progress) -> list[str]:
            hypotheses = []
            for utterance in utterances:
                region = utterance.locale if runtime.knows_regions else None
                hypotheses.append(runtime.transcribe(load_waveform(utterance), region or language_of(utterance)))
                task.advance()
            return hypotheses

        def findings(utterances: Sequence[Utterance]) -> list[str | None]:
            if exported.family is None or not family_named(exported.family).has_language_pairs:
                return [None] * len(utterances)
            return [other_languages(u.extra, language_of(u), task=exported.task) for u in utterances]

        yield Transcriber(str(exported.path), runtime.max_duration_s, text_language, decode, findings)


@contextmanager
def _model_transcriber(
    located: Located, *, batch_size: int, options: DecodeOptions, precision: Precision
) -> Iterator[Transcriber]:
    model: SpeechModel = open_located(located)
    model.network.to(best_device())

    def decode(utterances: Sequence[Utterance], task: Progress) -> list[str]:
        return decode_utterances(
            model, utterances, batch_size=batch_size, options=options, precision=precision, task=task
        )

    name = f"{located.spec} ({located.checkpoint}/)" if located.checkpoint else located.spec
    findings = partial(model.findings, purpose="decoding")
    yield Transcriber(name, model.window.max_s, lambda utterance: model.languages(utterance).text, decode, findings)


def refuse_for_exports(exported: ExportedModel, **given: bool) -> None:
    """Raise InputError where options are given that only eartune's own decoding supports."""
    for option, is_given in given.items():
        if is_given:
            raise InputError(
                f"--{option.replace('_', '-')}: is for models, and {exported.path} is decoded greedily by its own "
                f"runtime ({exported.format}); leave it out"
            )
