"""eartune's Whisper training beside the guides' script: python benchmarks/whisper_training.py [--data D --model M].

Without --data and --model it makes noise and a miniature model itself, which says that it runs and nothing about speed.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # instead of this folder, where `whisper` would hide OpenAI's package of that name
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from benchmarks.whisper.command import main

    main(sys.argv[1:])
