"""Manifests: utterances with their recordings and transcripts, in the formats that corpora use.

utterance.py   Utterance, Segment and Manifest
columns.py     column names of corpora, by role
tables.py      CSV and TSV, with or without a header
rows.py        a file -> rows with their line numbers: JSON lines, JSON lists, tables
times.py       start, end, offset, duration -> a stretch of a recording
timed_text.py  times of sentences, and timestamp tokens in texts
fields.py      a row -> audio, text, times, language, speaker, channel, under any column names
locate.py      search for the recording of a row
folding.py     comparison of transcripts without case and punctuation
read.py        rows -> utterances, each checked against its recording
remarks.py     remarks on suspect rows that are used
write.py       utterances -> NeMo's JSON lines with portable paths
"""

from eartune.manifest.read import read_manifest
from eartune.manifest.rows import is_table
from eartune.manifest.utterance import Manifest, Segment, Utterance, load_waveform
from eartune.manifest.write import write_manifest

__all__ = ["Manifest", "Segment", "Utterance", "is_table", "load_waveform", "read_manifest", "write_manifest"]
