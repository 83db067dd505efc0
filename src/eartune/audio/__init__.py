"""Recordings: how long they are, and their samples as 16 kHz mono.

read.py       probe and decode: what the rest of eartune calls
recording.py  an opened recording: its true length, and its samples block by block from any place
headers.py    what a file says about its length, held against what it holds
chunks.py     where the samples of WAV, RF64, W64, AIFF, CAF, AU and NIST files lie
mpeg.py       MP3 and AAC frame by frame
ogg.py        Ogg page by page
flac.py       the last frame of a FLAC file
boxes.py      MP4, Matroska and AMR files that end too early
byte_view.py  a file with true sizes in the place of wrong ones
media.py      formats that libsndfile does not know, through PyAV
quality.py    how loud samples are, and what is certainly wrong with them

Nothing here keeps state but the frames of the last MP3s, so data loader workers may call it.
"""

from eartune.audio.quality import Loudness, Samples, measure
from eartune.audio.read import (
    AUDIO_SUFFIXES,
    SAMPLE_RATE_HZ,
    AudioInfo,
    Decoded,
    can_seek,
    decode,
    decode_stretches,
    is_far_off,
    probe,
)

__all__ = [
    "AUDIO_SUFFIXES",
    "SAMPLE_RATE_HZ",
    "AudioInfo",
    "Decoded",
    "Loudness",
    "Samples",
    "can_seek",
    "decode",
    "decode_stretches",
    "is_far_off",
    "measure",
    "probe",
]
