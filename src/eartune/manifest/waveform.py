"""The samples of an utterance."""

from __future__ import annotations

from eartune.audio import Samples, decode
from eartune.errors import InputError
from eartune.manifest.utterance import Utterance


def load_waveform(utterance: Utterance) -> Samples:
    """Decode an utterance to 16 kHz mono. Raises InputError that names its row."""
    try:
        return decode(
            utterance.audio, offset_s=utterance.offset_s, duration_s=utterance.duration_s, channel=utterance.channel
        )
    except InputError as error:
        raise InputError(f"{utterance.source}: {error}" if utterance.source else str(error)) from error
