"""What Whisper learns in each kind of window: python benchmarks/whisper_windows.py --model M --data D --language L."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # instead of this folder, where `whisper` would hide OpenAI's package of that name
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from benchmarks.whisper.windows import main

    main(sys.argv[1:])
