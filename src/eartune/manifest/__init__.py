"""Manifests: which stretch of which recording says what, in every format people keep that in.

utterance.py  Utterance and Manifest
rows.py       a file -> rows with their line numbers: JSON lines, JSON lists, CSV, TSV
fields.py     a row -> audio, text, times, language, speaker, whatever its columns are called
read.py       rows -> utterances, each held against its recording
write.py      utterances -> NeMo's JSON lines with portable paths
"""

from eartune.manifest.read import read_manifest
from eartune.manifest.rows import is_table
from eartune.manifest.utterance import Manifest, Segment, Utterance
from eartune.manifest.write import write_manifest

__all__ = ["Manifest", "Segment", "Utterance", "is_table", "read_manifest", "write_manifest"]
