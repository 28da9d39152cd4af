"""Types of arguments that several commands take. This file knows argparse and no command."""

import argparse
import math
from collections.abc import Callable


def at_least(least: int) -> Callable[[str], int]:
    """The type of a whole number that is not smaller than `least`."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return number


def seconds(text: str) -> float:
    """The type of a span of time: seconds, fractions allowed, zero or more."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1e6:  # a million seconds in milliseconds still fits an option's 32 bits
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to a million")
    return value
