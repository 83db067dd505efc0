"""model_config.yaml of a .nemo file: read safely, and asked for one setting after another.

What a section says and nobody asked for is refused by name, so that no switch of a model is overlooked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from eartune.errors import InputError
from eartune.parsing import Bounds, JsonObject, parse_yaml
from eartune.weights import RELOAD_ADVICE

# Ten times the largest value of the published models, and more. Depth: 4 in all of them; values: 27 565 in
# nemotron-3.5-asr-streaming-0.6b, its vocabulary of 13 087 pieces, twice; digits: 18
BOUNDS = Bounds(depth=50, values=300_000, digits=1000)
# OmegaConf's mark of a value that is still to be given
LEFT_OPEN = "???"
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")


def read_settings(text: bytes, *, where: str) -> dict[str, Any]:
    """Parse a YAML mapping; `where` begins the message of the InputError raised for any other content."""
    return parse_yaml(text, JsonObject, where=where, advice=RELOAD_ADVICE, bounds=BOUNDS)


class NemoSection:
    """A mapping within model_config.yaml, such as `encoder`, that remembers what it was asked for."""

    def __init__(self, config: Mapping[str, Any], name: str, *, where: str) -> None:
        self._root, self._name, self._where = config, name, where
        self._asked: set[str] = set()
        values: object = config
        for part in name.split("."):
            values = values.get(part) if isinstance(values, Mapping) else None
        if not isinstance(values, Mapping):
            raise InputError(f"{where}: has no section {name!r}; give a model of the families Canary and Parakeet")
        self._values = values

    def get(self, key: str, default: Any) -> Any:
        """Return a setting with its references (`${model_defaults.enc_hidden}`) followed, or `default` if left open."""
        self._asked.add(key)
        value = self._values.get(key, default)
        for _ in range(BOUNDS.depth):
            match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
            if match is None:
                break
            value = self._root
            for part in match[1].split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
        return default if value == LEFT_OPEN else value

    def integer(self, key: str, default: int | None = None, *, least: int = 1, most: int = 10**6) -> int:
        """Return a whole number within bounds."""
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise InputError(f"{self._place(key)} is {value!r:.80}, expected a whole number from {least} to {most}")
        return value

    def rate(self, key: str, default: float | None = None) -> float:
        """Return a rate of dropout: at least 0, below 1."""
        value = self.number(key, default)
        if not 0.0 <= value < 1.0:
            raise InputError(f"{self._place(key)} is {value!r}, expected a rate of at least 0 and below 1")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Return a finite number."""
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
            raise InputError(f"{self._place(key)} is {value!r:.80}, expected a number")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """Return a switch."""
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise InputError(f"{self._place(key)} is {value!r:.80}, expected true or false")
        return value

    def integers(self, key: str, default: Sequence[int] | None = None) -> list[int]:
        """Return a list of whole numbers."""
        value = self.get(key, default)
        if not isinstance(value, list) or not all(isinstance(item, int) for item in value):
            raise InputError(f"{self._place(key)} is {value!r:.80}, expected a list of whole numbers")
        return value

    def integer_pairs(self, key: str) -> list[list[int]]:
        """Return a list of pairs of whole numbers; a single pair is one, too."""
        value = self.get(key, None)
        pairs = [value] if isinstance(value, list) and value and isinstance(value[0], int) else value
        if not isinstance(pairs, list) or not pairs or not all(_is_pair(pair) for pair in pairs):
            raise InputError(f"{self._place(key)} is {value!r:.80}, expected pairs of whole numbers")
        return pairs

    def unsupported(self, key: str, supported: str) -> InputError:
        """Return the error for a setting that is understood and of which only some values are `supported`."""
        return InputError(
            f"{self._place(key)} is {self.get(key, None)!r:.80}, and only {supported} are supported;"
            " tune this model with NeMo itself"
        )

    def require(self, key: str, default: Any, *supported: Any) -> None:
        """Refuse the model by name unless a setting, or NeMo's `default` for it, is one of the `supported`."""
        value = self.get(key, default)
        if not any(value == known and isinstance(value, bool) == isinstance(known, bool) for known in supported):
            raise InputError(
                f"{self._place(key)} is {value!r:.80}, and only {' or '.join(map(repr, supported))} is supported;"
                " tune this model with NeMo itself"
            )

    def require_class(self, name: str) -> None:
        """Refuse the model by name unless the section configures NeMo's class `name`, in whatever module."""
        target = self.get("_target_", None)
        if not isinstance(target, str) or target.rsplit(".", 1)[-1] != name:
            raise InputError(
                f"{self._place('_target_')} is {target!r:.80}, and only {name} is supported; "
                "tune this model with NeMo itself"
            )

    def require_nothing_else(self, *, harmless: Collection[str]) -> None:
        """Refuse the model by the name of a setting that nobody asked for, unless it is `harmless` or empty."""
        for key, value in self._values.items():
            if key not in self._asked and key not in harmless and value is not None and value != LEFT_OPEN:
                raise InputError(
                    f"{self._place(str(key))} = {value!r:.80} is not known here; tune this model with NeMo itself"
                )

    def _place(self, key: str) -> str:
        return f"{self._where}: {self._name}.{key}"


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(item) is int for item in value)
