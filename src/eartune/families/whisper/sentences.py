"""Checks of the sentence times within a clip, before they are trained."""

from __future__ import annotations

from eartune.families.whisper.tokenizer import TIMESTAMP_STEP_S
from eartune.manifest import Utterance

# files are often a little shorter than their last annotated time
MAX_OVERRUN_S = 0.1
STEP_S = TIMESTAMP_STEP_S
ROUNDING_S = 1e-3


def sentences_finding(utterance: Utterance) -> str | None:
    """Return the first problem with a clip's sentence times, with the number of the sentence, or None."""
    end_s = 0.0
    for number, part in enumerate(utterance.segments, start=1):
        if part.start_s < -ROUNDING_S:
            return f"sentence {number} begins at {part.start_s:.2f} s, before the clip"
        if part.end_s - part.start_s < STEP_S - ROUNDING_S:
            return (
                f"sentence {number} begins at {part.start_s:.2f} s and ends at {part.end_s:.2f} s; "
                "times are in seconds from the clip's begin"
            )
        if part.start_s < end_s - STEP_S - ROUNDING_S:
            return (
                f"sentence {number} begins at {part.start_s:.2f} s, before sentence {number - 1} ends "
                f"({end_s:.2f} s); write sentences in the order of time, without overlap"
            )
        end_s = max(end_s, part.end_s)
        if part.end_s > utterance.duration_s + MAX_OVERRUN_S:
            return (
                f"sentence {number} ends at {part.end_s:.2f} s, and the clip is {utterance.duration_s:.2f} s long; "
                "times are in seconds from the clip's begin"
            )
    joined = "".join("".join(part.text.split()) for part in utterance.segments)
    if utterance.segments and joined != "".join(utterance.text.split()):
        return "its sentences joined are not its text; make them the same, or remove one of the two"
    return None
