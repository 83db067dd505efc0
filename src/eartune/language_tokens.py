"""Language tokens of Whisper: the one a language is trained and decoded with, its own or a stand-in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from eartune.errors import InputError, nearest
from eartune.languages import language_code, unknown_language, whisper_code


@dataclass(frozen=True)
class StandIns:
    """Languages whose tokens stand in for others: for `named` ones, and for all others that a model has no token for.

    All are codes as language_code returns them.
    """

    named: Mapping[str, str] = field(default_factory=dict)
    others: str | None = None

    def token_code(self, language: str | None, known: Collection[str]) -> str | None:
        """Return the code within the token that stands for a language; `known` are those the model has.

        None: no language is given. Raises InputError where neither the language nor a stand-in has a token.
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
            called = whisper_code(candidate)
            if called in known:
                return called
            # a model may have been given a token under another spelling: <|uig|> for ug
            spelled = [code for code in known if candidate is not None and language_code(code) == candidate]
            if spelled:
                return min(spelled)
        return None

    def codes(self) -> list[str]:
        """List the languages whose tokens are used."""
        return [*self.named.values(), *([self.others] if self.others else [])]

    def token_codes(self) -> set[str | None]:
        """Return the codes within these tokens."""
        return {whisper_code(code) for code in self.codes()}


NO_STAND_INS = StandIns()


def no_token(language: str, known: Collection[str]) -> str:
    """Return the message for a language that a model has no token for."""
    return (
        f"language {language!r} is not one the model has a token for; choose one to stand in for it, such as that of "
        f"the closest language it knows: --language-token CODE.{nearest(language, sorted(known))}"
    )


def parse_stand_ins(text: str | None) -> StandIns:
    """Read `ru` (for every language that the model lacks), `cnh=my,tok=en`, or both. Raises InputError."""
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
    """Return the code of a language however it is named (en, eng, English, en-US, <|en|>). Raises InputError."""
    code = language_code(name)
    if code is None:
        raise InputError(unknown_language(name))
    return code
