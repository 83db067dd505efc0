"""Recordings: their lengths, and their samples as 16 kHz mono.

read.py         probe and decode: what the rest of eartune calls
recording.py    an opened recording: its true length, and its samples block by block from any position
headers.py      headers of recordings, and their faults
chunks.py       positions and sizes of samples in WAV, RF64, W64, AIFF, CAF, AU and NIST files
mp3.py          MP3 frame by frame
adts.py         bare AAC streams frame by frame
mpeg_frames.py  frames of MPEG audio, and the tags between them
ogg.py          Ogg page by page
flac.py         the last frame of a FLAC file
boxes.py        MP4, Matroska and AMR files that end too early
byte_view.py    views of a file with corrected headers
media.py        formats that libsndfile does not support, through PyAV
quality.py      loudness of samples, and their definite faults

The only state is a cache of the frames of the last MP3s, so data loader workers may call all of it.
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
