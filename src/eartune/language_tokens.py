"""Language tokens: a language's own token, or that of another language as its stand-in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from eartune.errors import InputError, nearest
from eartune.languages import language_code, openai_code, unknown_language


@dataclass(frozen=True)
class StandIns:
    """Languages whose tokens replace those of others: of the keys of `named`, and of all others without a token.

    All are codes as language_code returns them.
    """

    named: Mapping[str, str] = field(default_factory=dict)
    others: str | None = None

    def token_code(self, language: str | None, known: Collection[str]) -> str | None:
        """Return the code in the token to use for a language; `known` are the codes in the model's tokens.

        None: no language is given. Raises InputError if neither the language nor a stand-in has a token.
        """
        if language is None:
            return None
        code = self._known_code(language, known)
        if code is not None:
            return code
        raise InputError(no_token(language, known))

    def has_token(self, language: str, known: Collection[str]) -> bool:
        return self._known_code(language, known) is not None

    def _known_code(self, language: str, known: Collection[str]) -> str | None:
        wanted = self.named.get(language, language)
        for candidate in (wanted, self.others):
            code = openai_code(candidate)
            if code in known:
                return code
            # a model may have a token with another code of the language: <|uig|> for ug
            spelled = [code for code in known if candidate is not None and language_code(code) == candidate]
            if spelled:
                return min(spelled)
        return None

    def codes(self) -> list[str]:
        """List the languages whose tokens are used."""
        return [*self.named.values(), *([self.others] if self.others else [])]

    def token_codes(self) -> set[str | None]:
        """Return the codes in these tokens."""
        return {openai_code(code) for code in self.codes()}


NO_STAND_INS = StandIns()


def no_token(language: str, known: Collection[str]) -> str:
    """Return the message for a language without a token in the model."""
    return (
        f"language {language!r} is not one the model has a token for; use the token of another language, best the most "
        f"similar one: --language-token CODE.{nearest(language, sorted(known))}"
    )


def parse_stand_ins(text: str | None) -> StandIns:
    """Parse `ru` (for all languages without a token), `cnh=my,tok=en`, or both. Raises InputError."""
    named: dict[str, str] = {}
    others: str | None = None
    for part in filter(None, (piece.strip() for piece in (text or "").split(","))):
        language, sign, token = part.rpartition("=")
        if sign:
            named[_code(language)] = _code(token)
        elif others is not None:
            raise InputError(f"language_token: {others} and {part} both stand in for every language; keep one")
        else:
            others = _code(token)
    return StandIns(named, others)


def _code(name: str) -> str:
    code = language_code(name)
    if code is None:
        raise InputError(f"language_token: {unknown_language(name)}")
    return code


def require_language(name: str) -> str:
    """Return the code of a language in any spelling (en, eng, English, en-US, <|en|>). Raises InputError."""
    code = language_code(name)
    if code is None:
        raise InputError(unknown_language(name))
    return code
