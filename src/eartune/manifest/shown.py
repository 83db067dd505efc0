"""Values of a user's file in messages: one line, and not too long."""

MOST_CHARACTERS = 60


def shown(value: object) -> str:
    """Return a value as it is shown in a message."""
    text = ascii(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 3] + "..."
