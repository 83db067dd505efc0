"""Normalisers against openai-whisper's own, and what they must keep apart or bring together."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

from eartune.errors import InputError
from eartune.text import normalize, normalizer_for
from eartune.text.normalizers import NOT_IN_WHISPER

whisper_english = EnglishTextNormalizer()
whisper_basic = BasicTextNormalizer()
whisper_letters = BasicTextNormalizer(split_letters=True)

ENGLISH = [
    "",
    " ",
    "...",
    "Well... I think so...",
    "Hello, world!",
    # contractions
    "I'm sure they'd've said it's theirs, won't they?",
    "Y'all can't, let's not; ain't gonna, wanna, gotta, I'ma woulda coulda shoulda.",
    "She'd been there, he's gone, it's got to be done, we'd done it.",
    "kinda sorta, I dunno, 'cause the cause was unknown",
    # numbers
    "twenty-five",
    "One thousand two hundred and thirty four",
    "nineteen eighty four and two thousand and eight",
    "one oh one, double oh seven, triple five",
    "three point one four, minus ten degrees, two and a half million",
    "The 1960s, the 2nd, the twenty-first, the thirties; 1,000,000 people",
    "one, ones, 1 and 1s",
    # currency
    "$5.50, five dollars and fifty cents, £20, twenty pounds, ten euros, 99 cents",
    "20 million dollars, $2.5 billion, fifty percent, 50%, per cent",
    # British spelling
    "The colour of the grey theatre in the centre; we organise, analyse and travelled.",
    "Aluminium tyres and jewellery, honour, favourite neighbour",
    # disfluencies and notes
    "Uh, um, hmm, mm, mhm, well [laughter] I (coughs) think <noise> so.",
    # titles
    "Mr. and Mrs. Smith, Dr. Who, Prof. X, St. John, Capt. Hook, Lt. Dan, Jr., Sr., Esq.",
    "Gov. and Sen. and Rep. and Gen. and Col. and Rev. and Hon. and Pres.",
    # letters and symbols
    "naïve café, Ærøskøbing, façade, Straße",
    "“Curly quotes” don’t — they’re… it 's",
    "U.S.A., e.g. 3.5% of the U.K.; AT&T, C++, #1",
]
OTHER_LANGUAGES = [
    ("fr", "L'été dernier, où étiez-vous ? À l'hôtel [rires] !"),
    ("de", "Straße, Übergröße: Käse (leise) und Öl."),
    ("es", "¿Qué? ¡Mañana, señor! 1.000 €"),
    ("pl", "Zażółć gęślą jaźń."),
    ("uk", "Їжак, ґанок; п-ять ёлок і йод."),
    ("ko", "안녕하세요, 세계!"),
    ("vi", "Tiếng Việt, thưa ông."),
    (None, "Ça va? Мой йод."),
    ("ar", "مرحبا، كيف حالك؟"),
]


@pytest.mark.parametrize("sentence", ENGLISH)
def test_english_is_whispers_own_with_plain_apostrophes(sentence):
    assert normalize(sentence, language="en") == whisper_english(sentence.replace("’", "'")).strip()


english_words = st.sampled_from(
    sorted(whisper_english.standardize_numbers.words)
    + sorted(whisper_english.standardize_spellings.mapping)[::20]
    + [pattern.replace(r"\b", "") for pattern in (*whisper_english.replacers, *NOT_IN_WHISPER)]
    + ["I", "the", "um", "half", "a", "$5", "€0.5", "2.5", "1,000", "7%", "007", "3rd", "...", "?", "naïve"]
)


@given(st.lists(english_words, max_size=8).map(" ".join))
def test_english_is_whispers_own_for_any_words(sentence):
    assert normalize(sentence, language="en") == whisper_english(sentence).strip()


@pytest.mark.parametrize(("language", "sentence"), OTHER_LANGUAGES)
def test_other_languages_are_whispers_basic_where_no_marks_stand(language, sentence):
    assert normalize(sentence, language=language) == whisper_basic(sentence).strip()


@pytest.mark.parametrize(
    ("language", "sentence", "normalized"),
    [
        ("hi", "नमस्ते दुनिया, क्या हाल है?", "नमस्ते दुनिया क्या हाल है"),
        ("ta", "நான் தமிழ் பேசுகிறேன்.", "நான் தமிழ் பேசுகிறேன்"),
        ("bn", "আমি বাংলা বলি।", "আমি বাংলা বলি"),
        ("he", "שָׁלוֹם!", "שָׁלוֹם"),
        ("ar", "مَرْحَبًا.", "مَرْحَبًا"),
    ],
)
def test_words_keep_their_combining_marks(language, sentence, normalized):
    assert normalize(sentence, language=language).split() == normalized.split()
    assert len(whisper_basic(sentence).split()) > len(normalized.split()), "Whisper's own breaks these words"


@pytest.mark.parametrize("language", ["ru", "uk", None])
@pytest.mark.parametrize("letter", ["й", "и\u0306"])
def test_short_i_stays_short_i(language, letter):
    assert normalize(f"Мо{letter}", language=language) == "мой"


@pytest.mark.parametrize(
    ("language", "sentence", "normalized"),
    [
        ("zh", "我喜歡 GPT-4。", "我 喜 歡 gpt 4"),
        ("yue", "你好嗎?", "你 好 嗎"),
        ("ja", "東京へ、行きます", "東 京 へ 行 き ま す"),
        ("th", "ภาษาไทย", "ภ า ษ า ไ ท ย"),
        ("th", "สวัสดี", "ส วั ส ดี"),
        ("lo", "ລາວ", "ລ າ ວ"),
        ("my", "မြန်မာ", "မြ န် မ ာ"),
    ],
)
def test_languages_without_spaces_are_split_into_characters(language, sentence, normalized):
    assert normalize(sentence, language=language) == normalize(sentence, language=None) == normalized


@pytest.mark.parametrize("sentence", ["我喜歡。", "東京へ、行きます", "カタカナ 1"])
def test_characters_are_whispers_own_where_no_marks_stand(sentence):
    assert normalize(sentence, language="ja") == whisper_letters(sentence).strip()


@pytest.mark.parametrize(
    ("language", "sentence", "same"),
    [
        ("tr", "İstanbul Iğdır", "istanbul ığdır"),
        ("az", "İki QIZIL", "iki qızıl"),
        ("fa", "می\u200cروم", "میروم"),
        ("he", "\u200fשלום", "שלום"),
        ("de", "\ufeffDonau\u00addampfer", "donaudampfer"),
        ("km", "ភាសា\u200bខ្មែរ", "ភាសាខ្មែរ"),
        ("fr", "oui ❤\ufe0f non", "oui non"),
        ("ru", "за\u0301мок", "замок"),
        ("ru", "Ёжик, ещё!", "ежик еще"),
        ("ru", "не\u0300 и\u0300х", "не их"),
        ("ru", "какой-то из-за", "какой то из за"),
        ("ru", "Да [смех], (шёпотом) нет…", "да нет"),
        # numbers
        ("ru", "5 рублей", "пять рублей"),
        ("ru", "двух тысяч трёхсот", "2300"),
        ("ru", "Двадцать пять, СОРОК", "25 40"),
        ("ru", "пять-шесть", "5-6"),
        ("ru", "10:30", "десять тридцать"),
        ("ru", "2,5 млн.", "два миллиона пятьсот тысяч"),
        ("ru", "сто, двадцать", "сто двадцать"),
        # groups of digits
        ("ru", "1\u00a0000 рублей", "тысяча рублей"),
        ("ru", "8 903 555", "восемь девятьсот три пятьсот пятьдесят пять"),
        # endings
        ("ru", "5-ти, 20-ти и 7-ми", "пяти двадцати и семи"),
        ("ru", "2-х 2-ух 3-х 3-ёх 24-х 2-мя", "двух двух трёх трёх двадцати четырёх двумя"),
        # signs
        ("ru", "5% 5 %", "пять процентов пять процентов"),
        ("ru", "№5, № 6", "номер пять номер шесть"),
    ],
)
def test_spellings_of_the_same_speech_agree(language, sentence, same):
    assert normalize(sentence, language=language) == normalize(same, language=language)


@pytest.mark.parametrize(
    ("sentence", "normalized"),
    [
        ("Ещё раз: МОЙ ёжик!", "еще раз мой ежик"),
        ("е\u0308ж за\u0301мок", "еж замок"),
        ("какой-то из-за", "какой то из за"),
        ("двадцать три, сорок пять", "23 45"),
        ("1 000 рублей", "1000 рублей"),
        ("25 500 000", "25500000"),
        ("12\u202f345\u202f678", "12345678"),
        ("1\u00a0000,5 2024", "1000 5 2024"),
        ("1234\u00a0567", "1234 567"),
        ("100 200", "100 200"),
        ("1-й 1-ый 1й 1‑й", "1й 1й 1й 1й"),
        ("5-го 5-ого 3-ья", "5го 5го 3я"),
        ("90-х 12-х 2-х", "90х 12х 2"),
        ("10-летний 5-и", "10 летний 5 и"),
        ("5 м, дом 5а", "5 м дом 5а"),
        ("1 процент, 2 процента", "1 процентов 2 процентов"),
        ("процент с процента", "процент с процента"),
        ("№5", "номер 5"),
    ],
)
def test_russian_as_written_by_hand(sentence, normalized):
    assert normalize(sentence, language="ru") == normalized


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("ru", "1-й", "1"),
        ("ru", "пятый", "пять"),
        ("ru", "первый", "первой"),
        ("ru", "одни", "один"),
        ("ru", "замок", "замки"),
        ("uk", "їх", "іх"),
        ("fr", "été", "ete"),
        ("es", "año", "ano"),
        ("tr", "ılık", "ilik"),
        ("hi", "कि", "की"),
        ("en", "the cause", "the because"),
    ],
)
def test_different_words_stay_different(language, one, other):
    assert normalize(one, language=language) != normalize(other, language=language)


RUSSIAN = """
один две пяти сорок сто двухсот тысяча тысяч тысячи миллион млн тыс. ноль раз и
5 20 300 2000 1-й 5-ти 5% 2,5 № ёж за́мок какой-то процента
"""
russian_words = st.sampled_from([*RUSSIAN.split(), "1\u00a0000"])


@given(st.lists(russian_words, max_size=6).map(" ".join))
def test_normalising_russian_twice_changes_nothing(sentence):
    normalized = normalize(sentence, language="ru")
    assert normalize(normalized, language="ru") == normalized


# letters, marks and signs that stand in the way of each other, beside any character
odd_text = st.one_of(
    st.text(max_size=20),
    st.text("aioItg'’ʼʻ\"-–.0٢५ßİıÀéйœﬁŉ我々ーｶﾞกำ้ํเស្រ្ត​ာ်\u0301\u0307\u20e3\u00ad\u200d \t(<[", max_size=12),
)
languages = st.sampled_from(["ru", "hi", "zh", "th", "tr", "uk", "uz", "haw", "he", "fa", "br", "cnh", None])


@given(odd_text, st.one_of(languages, st.just("en")))
def test_any_text_gives_single_spaced_words(text, language):
    normalized = normalize(text, language=language)
    assert normalized == " ".join(normalized.split())


@given(odd_text, st.one_of(languages, st.just("en")))
def test_composed_and_decomposed_letters_are_the_same(text, language):
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert normalize(composed, language=language) == normalize(decomposed, language=language)


@given(odd_text, languages)
# a vowel sign of Burmese on a Latin letter, before an apostrophe
@example("Aါ‘A", "uk")
def test_normalising_twice_changes_nothing(text, language):
    normalized = normalize(text, language=language)
    assert normalize(normalized, language=language) == normalized


def test_normaliser_is_made_once():
    assert normalizer_for("en") is normalizer_for("en")


@pytest.mark.parametrize("language", ["russian", "EN", "en-US", "", "r"])
def test_what_is_no_code_is_refused(language):
    with pytest.raises(InputError, match=rf"'{language}' is not a language code; give two letters.*'en'"):
        normalizer_for(language)
