"""The part of parity.json that compares an export with its model, as Gate.to_json() writes it."""

from __future__ import annotations

from eartune.records import Interval, Record


class CountsRecord(Record):
    """Errors in words."""

    reference_length: int
    substitutions: int
    deletions: int
    insertions: int
    hits: int


class CostRecord(Record):
    """What loading and decoding took."""

    load_s: float
    decode_s: float
    speech_s: float
    peak_memory_bytes: int | None = None
    """None where it was not measured."""
    size_bytes: int
    real_time_factor: float
    """Seconds of decoding for a second of speech."""


class DifferenceRecord(Record):
    """A sentence that the export writes otherwise than the model."""

    index: int
    reference: str
    model: str
    artefact: str


class WordsRecord(Record):
    """Word error rates of the model and of the export, and between the two, as fractions."""

    passes: bool
    verdict: str
    quantization: str
    limit_points: float
    change_points: float
    change_points_interval_95: Interval
    model_wer: float
    artefact_wer: float
    model_wer_interval_95: Interval
    artefact_wer_interval_95: Interval
    between_wer: float
    model_words: CountsRecord
    artefact_words: CountsRecord
    between_words: CountsRecord
    num_utterances: int
    num_differing: int
    differing: list[DifferenceRecord] | None = None
    """The first of them; left out of records on the hub, as they are sentences of somebody's speech."""
    cost: CostRecord


class LongClipRecord(Record):
    """A long recording: whether all was written once, in order and with its times."""

    passes: bool
    verdict: str
    num_joins: int
    share_near: float
    share_of_edges: float | None = None
    """Not measured by the first versions."""
    farthest_s: float
    disorder: list[str]
    loops: list[str]
    skipped: list[Interval]
    num_fallbacks: int | None = None
    """Windows that were decoded again; None where the runtime does not tell."""


class LongRecordingRecord(Record):
    """The long recording in the export, in the model, and in the untuned base model in the export's format."""

    artefact: LongClipRecord | None = None
    model: LongClipRecord | None = None
    base_model: LongClipRecord | None = None


class ParityRecord(Record):
    """What was found of an export in its runtime."""

    passes: bool
    failures: list[str]
    warnings: list[str]
    words: WordsRecord
    logit_distance: float | None = None
    logit_distance_limit: float
    long_recording: LongRecordingRecord
