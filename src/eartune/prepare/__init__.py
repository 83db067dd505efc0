"""A corpus -> 16 kHz recordings, train, val and test manifests, and an audit.

corpus.py        prepare_corpus: the steps, and the files they write
folder.py        a folder of recordings with transcripts beside them
layout.py        splits and speakers in the names of folders
unused_files.py  remarks on files that a scan does not use
table.py         transcript tables, and the splits in their names
split.py         train, val and test with no speaker, recording and text in two of them
groups.py        groups of utterances that must share a split, and closed vocabularies
convert.py       recordings -> 16 kHz mono FLAC, and the loudness of each
audit.py         contents of the corpus, and suspect rows
"""

from eartune.prepare.corpus import PreparedCorpus, prepare_corpus
from eartune.prepare.folder import read_folder
from eartune.prepare.split import Split, split_utterances

__all__ = ["PreparedCorpus", "Split", "prepare_corpus", "read_folder", "split_utterances"]
