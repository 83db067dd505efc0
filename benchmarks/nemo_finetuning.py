"""NeMo's own fine-tuning beside eartune's: python benchmarks/nemo_finetuning.py --nemo-python P [--data D].

Both train the same random model on the same steps of the same clips. Without --data the clips are noise.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # instead of this folder, where `whisper` would hide OpenAI's package of that name
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from benchmarks.finetuning.command import main

    main(sys.argv[1:])
