"""Suppression of the libraries' messages to developers; their errors are still raised."""

from __future__ import annotations

import logging
import warnings

from transformers.utils import logging as transformers_logging


def silence_libraries() -> None:
    """Turn off the warnings and progress bars of transformers and torch for this process."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("torch.distributed").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"(torch|transformers|peft|accelerate)\b.*")
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(torch|transformers|peft|accelerate)\b.*")
