"""What normalisers drop is what is found."""

import pytest

from eartune.text import normalize
from eartune.text.marks import bracketed, special_symbols


@pytest.mark.parametrize(
    ("text", "symbols", "brackets"),
    [
        ("plain words, 3 < 4", [], []),
        ("<|0.00|> good<|1.20|>", ["<|0.00|>", "<|1.20|>"], []),
        ("<|startoftranscript|><|en|>good", ["<|startoftranscript|>", "<|en|>"], []),
        ("a <unk> b ⁇ c [UNK]", ["<unk>", "⁇", "[UNK]"], []),
        ("▁good \ufffd", ["▁", "\ufffd"], []),
        ("well [laughter] I (coughs) <noise> see", [], ["[laughter]", "<noise>", "(coughs)"]),
        ("<|nospeech|> [noise]", ["<|nospeech|>"], ["[noise]"]),
    ],
)
@pytest.mark.parametrize("language", ["en", "ru", None])
def test_symbols_and_brackets_are_found_and_dropped(text, symbols, brackets, language):
    assert special_symbols(text) == symbols
    assert bracketed(text) == brackets
    plain = text
    for mark in (*symbols, *brackets):
        plain = plain.replace(mark, " ")
    assert normalize(text, language=language) == normalize(plain, language=language)
