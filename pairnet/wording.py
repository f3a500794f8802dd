"""Text of messages: numbers with their nouns, and text from files that anybody may have written."""

from typing import Any, Literal

LONGEST_TEXT = 100_000
"""Characters of one text: far more than any export writes."""
LONGEST_SHOWN = 80


def capitalised(text: str) -> str:
    """`text` with a capital first letter, the rest as it is."""
    return f"{text[:1].upper()}{text[1:]}"


def counted(number: int, noun: str) -> str:
    """ "1 epoch", "1,000 epochs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shown_number(number: int, separator: Literal["", ","] = "") -> str:
    """A whole number for a message, short also if somebody wrote one of thousands of digits."""
    if -(10**15) < number < 10**15:
        return format(number, separator)
    return f"a number of {len(str(abs(number)))} digits" if abs(number) < 10**1000 else "a number of over 1,000 digits"


def is_plain(value: Any) -> bool:
    """Whether `value` is text that terminals and rich print unchanged: printable and without square brackets."""
    return isinstance(value, str) and value.isprintable() and not set(value) & set("[]") and len(value) <= LONGEST_TEXT


def shown(value: Any) -> str:
    """A value for a message: on one line, escaped, at most LONGEST_SHOWN characters; a list alone has brackets."""
    text = ascii(value[:LONGEST_SHOWN] if isinstance(value, str) else value)
    if not isinstance(value, list):
        text = text.replace("[", "\\x5b").replace("]", "\\x5d")
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."
