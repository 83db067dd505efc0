"""Languages are known under the names that corpora and models give them."""

import pytest
from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

from eartune.languages import LANGUAGE_NAMES, language_code, unknown_language


def test_all_of_whispers_languages_and_names_are_known() -> None:
    # jw is Whisper's own code for jv
    codes = {code: "jv" if code == "jw" else code for code in LANGUAGES}
    assert {code: language_code(code) for code in LANGUAGES} == codes
    assert {name: language_code(name) for name in TO_LANGUAGE_CODE} == {
        name: codes[code] for name, code in TO_LANGUAGE_CODE.items()
    }


@pytest.mark.parametrize("code", LANGUAGE_NAMES)
def test_code_and_name_mean_the_same(code: str) -> None:
    assert language_code(code) == language_code(LANGUAGE_NAMES[code]) == code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ru-RU", "ru"),
        ("ru_RU", "ru"),
        ("zh-Hans-CN", "zh"),
        ("es-419", "es"),
        (" Russian ", "ru"),
        ("rus", "ru"),
        ("Haitian Creole", "ht"),
        ("haitian_creole", "ht"),
        ("Kyrgyz", "ky"),
        ("sah", "sah"),
        ("", None),
        ("-", None),
        ("klingon", None),
        ("to be told", None),
        ("enx", "enx"),
        ("nan-tw", "nan"),
        ("cnh", "cnh"),
        ("<|de|>", "de"),
        ("xx", None),
        ("xx-YY", None),
    ],
)
def test_spellings(name: str, code: str | None) -> None:
    assert language_code(name) == code


def test_message_names_the_nearest() -> None:
    assert unknown_language("Rusian").startswith("language 'Rusian' is not known; give an ISO 639-1 code")
    assert "russian" in unknown_language("Rusian")
