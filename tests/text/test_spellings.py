"""Ways to type the same word: they are one, in the language that they are of; other spellings stay apart."""

import unicodedata

import pytest

from eartune.text import normalize

TYPEWRITER = "'"
TYPOGRAPHIC = "’‘ʼʻ`´′＇"


@pytest.mark.parametrize("typed", TYPOGRAPHIC)
@pytest.mark.parametrize(
    ("language", "text", "normalized"),
    [
        ("en", "Don't stop, it's we'll", "do not stop it is we will"),
        ("fr", "L'été d'Aujourd'hui", "l été d aujourd hui"),
        ("it", "l'amica un po' più", "l amica un po più"),
        ("ca", "l'home d'aquí", "l home d aquí"),
        ("mt", "ta' l-għ'din", "ta l għ din"),
        ("uk", "М'яч п'ять", "мʼяч пʼять"),
        ("be", "сям'я", "сямʼя"),
        ("uz", "O'zbek tog' ma'no", "oʼzbek togʼ maʼno"),
        ("haw", "'Āina Hawai'i", "ʼāina hawaiʼi"),
        ("br", "c'hoar n'eo", "cʼhoar n eo"),
        ("gn", "mba'e", "mbaʼe"),
        ("sw", "ng'ombe", "ngʼombe"),
        ("kmr", "se'et", "seʼet"),
        ("he", "ג'ירפה", "גʼירפה"),
        (None, "м'яч don't", "м яч don t"),
    ],
)
def test_apostrophes_are_one_and_part_words_only_where_they_are_no_letters(language, text, normalized, typed):
    assert normalize(text, language=language) == normalized
    assert normalize(text.replace(TYPEWRITER, typed), language=language) == normalized


@pytest.mark.parametrize(
    ("language", "text", "normalized"),
    [
        ("uk", "'слово' ‘м’яч’", "слово мʼяч"),
        ("haw", "'aloha kākou'", "aloha kākou"),
        ("en", "‘hello’ he said", "hello he said"),
        ("he", "ה'שלום'", "הʼשלום"),
    ],
)
def test_quotation_marks_are_no_letters(language, text, normalized):
    assert normalize(text, language=language) == normalized


@pytest.mark.parametrize("typed", ['"', "״", "”"])
def test_hebrew_acronyms_are_one_word(typed):
    assert normalize(f"צה{typed}ל", language="he").split() == normalize("צה״ל", language="he").split()
    assert len(normalize(f"צה{typed}ל", language="he").split()) == 1


@pytest.mark.parametrize("hyphen", "‐‑‒–—−－")
@pytest.mark.parametrize(
    ("language", "text"), [("de", "E-Mail-Adresse"), ("ru", "5-го 2-х какой-то"), ("en", "twenty-five")]
)
def test_hyphens_are_one(language, text, hyphen):
    assert normalize(text.replace("-", hyphen), language=language) == normalize(text, language=language)


@pytest.mark.parametrize("language", ["en", "de", "ru", None])
def test_a_soft_hyphen_is_nothing(language):
    assert normalize("Do\u00adnau", language=language) == normalize("Donau", language=language)


@pytest.mark.parametrize("zero", "٠۰०০๐០໐၀０")
@pytest.mark.parametrize("language", ["ar", "fa", "hi", "bn", "th", "km", "lo", "my", "ja", "en", "ru", None])
def test_digits_of_any_script_are_digits(language, zero):
    typed = "".join(chr(ord(zero) + int(digit)) for digit in "2025")
    assert normalize(typed, language=language) == "2025"


@pytest.mark.parametrize(
    ("language", "typed", "same"),
    [
        # widths
        ("zh", "ＧＰＴ－４％", "GPT-4%"),
        ("ja", "ﾊﾞｽ ｶﾞｿﾘﾝ", "バスガソリン"),
        ("en", "ｄｏｎ＇ｔ", "don't"),
        # letters drawn out, in the Arabic of another keyboard, or with a joiner for a letter of its own
        ("ar", "العـــدد", "العدد"),
        ("fa", "كتاب يك", "کتاب یک"),
        ("ckb", "كوردي", "کوردی"),
        ("ur", "كي", "کی"),
        ("ml", "അവന്\u200d", "അവൻ"),
        ("bn", "হঠাত্\u200d", "হঠাৎ"),
        ("th", "นํ้า เเม่", "น้ำ แม่"),
        ("lo", "ນໍ້າ", "ນ້ຳ"),
        # case
        ("de", "STRAẞE", "straße"),
        (None, "İstanbul", "istanbul"),
        ("tr", "I\u0307ki", "iki"),
        # signs that are not words
        ("de", "1️⃣ test\u0301¨", "1 test\u0301"),
        ("ar", "\u061cسلام\u200f", "سلام"),
        ("ko", "가\u3164나", "가나"),
        ("ja", "葛\U000e0100飾", "葛飾"),
    ],
)
def test_what_is_typed_in_two_ways_is_one(language, typed, same):
    assert normalize(typed, language=language) == normalize(same, language=language)


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC"])
@pytest.mark.parametrize("text", ["Łódź żółć", "йод ёж", "Tiếng Việt", "한국어", "क़लम", "が ぎ", "أحمد"])
def test_unicode_forms_are_one(text, form):
    assert normalize(unicodedata.normalize(form, text), language=None) == normalize(text, language=None)


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("zh", "我們", "我们"),
        ("de", "Straße", "Strasse"),
        ("uz", "oʻt", "ot"),
        ("ar", "على", "علي"),
        ("ar", "أحمد", "احمد"),
        ("ug", "ى", "ي"),
        ("sr", "реч", "reč"),
        ("zh", "二十五", "25"),
        ("ja", "カタカナ", "かたかな"),
    ],
)
def test_other_spellings_stay_apart(language, one, other):
    assert normalize(one, language=language) != normalize(other, language=language)
