"""Russian number words against num2words, and numbers that people say one after another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from num2words import num2words

from eartune.text import normalize
from eartune.text.russian_numbers import CASES, GENDERS, multiply_decimals, write_digits

numbers = st.one_of(
    st.integers(0, 10**9),
    st.integers(0, 3000),
    st.builds(lambda digits, zeros: digits * 10**zeros, st.integers(1, 99), st.integers(0, 7)),
)


@given(number=numbers, case=st.sampled_from(CASES), gender=st.sampled_from(GENDERS), animate=st.booleans())
def test_number_words_in_every_form_become_digits(number, case, gender, animate):
    spelled = num2words(number, lang="ru", case=case, gender=gender, animate=animate)
    assert normalize(spelled, language="ru") == str(number)
    assert normalize(spelled.upper(), language="ru") == str(number)


@pytest.mark.parametrize("case", CASES)
def test_all_numbers_below_1100_become_digits_in_every_case(case):
    spelled = [num2words(number, lang="ru", case=case) for number in range(1100)]
    assert [normalize(words, language="ru") for words in spelled] == [str(number) for number in range(1100)]


@given(st.lists(st.integers(0, 2 * 10**6), min_size=1, max_size=4))
def test_number_words_between_other_words_keep_their_places(sequence):
    spoken = " и ".join(num2words(number, lang="ru") for number in sequence)
    assert normalize(spoken, language="ru") == " и ".join(map(str, sequence))


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("", ""),
        ("пять", "5"),
        ("двадцать пять", "25"),
        ("двадцати пяти", "25"),
        ("пятью", "5"),
        ("двух тысяч трехсот", "2300"),
        ("тысяча девятьсот сорок пять", "1945"),
        ("миллион тысяча двести", "1001200"),
        ("два миллиарда пять", "2000000005"),
        # not one number
        ("двадцать три сорок пять", "23 45"),
        ("пять шесть", "5 6"),
        ("двадцать двенадцать", "20 12"),
        ("девятнадцать сорок пять", "19 45"),
        ("пять сто", "5 100"),
        ("сто двести", "100 200"),
        ("тысяча тысяча", "1000 1000"),
        ("две тысячи пять миллионов", "2000 5000000"),
        ("восемь девятьсот три ноль ноль семь", "8 903 0 0 7"),
        ("тысяча ноль пять", "1000 0 5"),
        # forms that num2words does not give
        ("с нуля", "с 0"),
        ("восьмью", "8"),
        ("восьмьюдесятью восьмью", "88"),
        ("тысячью", "1000"),
        # a scale by itself
        ("около тысячи", "около 1000"),
        ("миллиона", "1000000"),
        ("тысяч людей", "тысяч людей"),
        ("с миллионами", "с миллионами"),
        ("тысяча тысяч", "1000 тысяч"),
        # digits and words in one number
        ("5 тысяч", "5000"),
        ("5 тыс", "5000"),
        ("12 млн 300 тысяч", "12300000"),
        ("2 тысячи 300", "2300"),
        ("две тысячи 300", "2300"),
        # digits that stay by themselves
        ("20 5", "20 5"),
        ("двадцать 5", "20 5"),
        ("100 пять", "100 5"),
        ("007 тысяч", "007 тысяч"),
        ("2000 тысяч", "2000 тысяч"),
        ("0 тысяч", "0 тысяч"),
        # no cardinals
        ("раз два", "раз 2"),
        ("одни двое полтора", "одни двое полтора"),
        ("сорок пятый", "40 пятый"),
        ("пятьсот", "500"),
        ("пятница семья стол", "пятница семья стол"),
        # homographs
        ("свою семью", "свою 7"),
        ("один", "1"),
        ("одну", "1"),
    ],
)
def test_words_become_digits(spoken, written):
    assert " ".join(write_digits(spoken.split())) == written


@pytest.mark.parametrize(
    ("text", "multiplied"),
    [
        ("2,5 тысячи", "2500"),
        ("2.5 тыс.", "2500."),
        ("1,75 миллиона", "1750000"),
        ("12,345678 млрд", "12345678000"),
        ("2,5 рубля", "2,5 рубля"),
        ("0,0001 тысячи", "0,0001 тысячи"),
        ("1,2,5 тысяч", "1,2,5 тысяч"),
        ("2,5 тысячный", "2,5 тысячный"),
    ],
)
def test_decimals_multiply_only_with_a_scale(text, multiplied):
    assert multiply_decimals(text) == multiplied
