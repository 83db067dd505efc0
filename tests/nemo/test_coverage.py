"""A tokenizer measured against texts, by hand counts."""

from pathlib import Path

import pytest

from eartune.errors import InputError
from eartune.families.parakeet.load import find, load
from eartune.manifest import Utterance
from eartune.nemo.coverage import measure, require_covered


def rows(*texts: str) -> list[Utterance]:
    return [Utterance(audio=Path("a.wav"), text=text, duration_s=2.0) for text in texts]


def test_characters_and_tokens_are_counted(tiny_nemo: dict[str, Path]) -> None:
    tokenizer = load(find(str(tiny_nemo["ctc"]))).tokenizer
    coverage = measure(tokenizer, rows("oil ☃", "☃ the ♞ pump"))
    assert coverage.characters == 3 + 1 + 3 + 1 + 4 + 1
    assert coverage.unknown == {"☃": 2, "♞": 1}
    assert coverage.unknown_rate == pytest.approx(3 / 13)
    expected = sum(len(tokenizer(text, add_special_tokens=False).input_ids) for text in ("oil ☃", "☃ the ♞ pump"))
    assert coverage.tokens == expected
    assert (
        str(coverage) == f"tokenizer: {expected / 4:.1f} tokens a second of speech, 23 % of the characters unknown: ☃ ♞"
    )


def test_another_script_is_refused_with_its_letters(tiny_nemo: dict[str, Path]) -> None:
    tokenizer = load(find(str(tiny_nemo["ctc"]))).tokenizer
    with pytest.raises(InputError, match=r"no token for 100 % of the characters .*3 different ones: 한 국 어"):
        require_covered(tokenizer, rows("한국어"))
    known = require_covered(tokenizer, rows("check the oil " * 20 + "☃"))
    assert known.unknown == {"☃": 1}
    assert "every character known" in str(require_covered(tokenizer, rows("check the oil")))
