"""Recordings: how long they are, and their samples as 16 kHz mono.

read.py     probe and decode: what the rest of eartune calls
headers.py  what WAV, NIST and MP3 headers promise, where libsndfile takes less without a word
media.py    formats that libsndfile does not know, through PyAV

Nothing here keeps state, so data loader workers may call it.
"""

from eartune.audio.read import (
    AUDIO_SUFFIXES,
    SAMPLE_RATE_HZ,
    AudioInfo,
    Samples,
    decode,
    is_far_off,
    probe,
)

__all__ = ["AUDIO_SUFFIXES", "SAMPLE_RATE_HZ", "AudioInfo", "Samples", "decode", "is_far_off", "probe"]
