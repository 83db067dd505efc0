"""The quantisations that Whisper declares are those that its writers know."""

from typing import get_args

from eartune.families.whisper import CTRANSLATE2_KINDS, GGML_KINDS
from eartune.families.whisper.ctranslate2 import Quantization
from eartune.families.whisper.ggml import FILE_KINDS


def test_declared_quantizations_are_those_of_the_writers() -> None:
    assert sorted(GGML_KINDS) == sorted(FILE_KINDS)
    assert sorted(CTRANSLATE2_KINDS) == sorted(get_args(Quantization))
