"""Manifests: which stretch of which recording says what, in every format people keep that in.

utterance.py   Utterance, Segment and Manifest
columns.py     names of columns, and what they stand for
tables.py      CSV and TSV, with or without a header
rows.py        a file -> rows with their line numbers: JSON lines, JSON lists, tables
times.py       start, end, offset, duration -> a stretch of a recording
timed_text.py  times of sentences, and marks of times in texts
fields.py      a row -> audio, text, times, language, speaker, channel, whatever its columns are called
locate.py      where the recording lies that a row names
folding.py     whether two transcripts say the same
read.py        rows -> utterances, each held against its recording
translation.py rows that are spoken in one language and written in another
remarks.py     what is odd about rows that are used
write.py       utterances -> NeMo's JSON lines with portable paths
shown.py       a user's values in messages
"""

from eartune.manifest.read import read_manifest
from eartune.manifest.rows import is_table
from eartune.manifest.utterance import Manifest, Segment, Utterance, load_waveform
from eartune.manifest.write import write_manifest

__all__ = ["Manifest", "Segment", "Utterance", "is_table", "load_waveform", "read_manifest", "write_manifest"]
