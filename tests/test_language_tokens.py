"""Which token stands for a language."""

import pytest

from eartune.errors import InputError
from eartune.language_tokens import StandIns, parse_stand_ins

KNOWN = {"en", "ru", "my", "jw", "no", "kk", "uig"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, StandIns()),
        ("ru", StandIns({}, "ru")),
        ("<|ru|>", StandIns({}, "ru")),
        ("cnh=Burmese, tok = en", StandIns({"cnh": "my", "tok": "en"})),
        ("Kyrgyz=kk,en-US", StandIns({"ky": "kk"}, "en")),
    ],
)
def test_stand_ins_are_read_by_any_names(text: str | None, expected: StandIns) -> None:
    assert parse_stand_ins(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [("rusian", "'rusian' is not known"), ("ru,en", "ru and en both stand in"), ("=ru", "'' is not known")],
)
def test_stand_ins_that_cannot_be_read_are_named(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        parse_stand_ins(text)


@pytest.mark.parametrize(
    ("stand_ins", "language", "code"),
    [
        ("", None, None),
        ("", "ru", "ru"),
        ("", "jv", "jw"),
        ("", "nb", "no"),
        ("", "ug", "uig"),
        ("ru", "cnh", "ru"),
        ("ru", "en", "en"),
        ("cnh=my,ru", "cnh", "my"),
        ("cnh=my,ru", "tok", "ru"),
        ("en=ru", "en", "ru"),
        ("cnh=jv", "cnh", "jw"),
    ],
)
def test_a_language_has_its_own_token_or_a_stand_ins(stand_ins: str, language: str | None, code: str | None) -> None:
    assert parse_stand_ins(stand_ins).token_code(language, KNOWN) == code


def test_a_language_with_neither_is_refused() -> None:
    with pytest.raises(InputError, match=r"language 'tok' is not one the model has a token for; .*--language-token"):
        parse_stand_ins("cnh=my").token_code("tok", KNOWN)
