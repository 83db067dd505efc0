"""Words between spaces, and characters of scripts without: counted by hand."""

import pytest

from eartune.text import normalize
from eartune.text.units import characters, is_spaceless


@pytest.mark.parametrize("language", [None, "zh", "en", "nan", "cnh"])
@pytest.mark.parametrize(
    ("text", "num_words", "num_characters"),
    [
        ("我们今天去学校", 7, 7),
        ("我今天去 shopping mall", 6, 17),
        ("我去2025年", 4, 7),
        ("今日はGPTを使う。", 7, 9),
        ("ラーメン", 4, 4),
        ("大家好 hak-fa", 5, 9),
    ],
)
def test_characters_are_words_and_words_among_them_stay_words(text, num_words, num_characters, language):
    normalized = normalize(text, language=language)
    assert len(normalized.split()) == num_words
    assert len(characters(normalized)) == num_characters


@pytest.mark.parametrize(
    ("text", "spaced"),
    [
        ("ខ្ញុំទៅផ្ទះ", "ខ្ញុំ ទៅ\u200bផ្ទះ"),
        ("ฉันไปโรงเรียน", "ฉัน ไป โรงเรียน"),
        ("ຂ້ອຍໄປໂຮງຮຽນ", "ຂ້ອຍ ໄປ ໂຮງຮຽນ"),
        ("ကျွန်တော်သွားမယ်", "ကျွန်တော် သွားမယ်"),
        ("今日は行く", "今日は 行く"),
        ("བཀྲ་ཤིས", "བཀྲ ཤིས"),
    ],
)
@pytest.mark.parametrize("language", [None, "km", "nan"])
def test_spaces_between_phrases_do_not_count_in_such_scripts(text, spaced, language):
    assert normalize(spaced, language=language) == normalize(text, language=language)


@pytest.mark.parametrize("text", ["안녕하세요 세계", "नमस्ते दुनिया", "xin chào", "ሰላም፡ልዑል"])
def test_scripts_with_spaces_keep_their_words(text):
    words = normalize(text, language=None).split()
    assert len(words) == 2
    assert not any(map(is_spaceless, words))
