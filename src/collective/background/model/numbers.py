"""Numbers that come in from outside: plain ones from there on.

Called by ``options`` and ``running/current``.
"""

from decimal import Decimal
from math import isfinite
from numbers import Integral
from numbers import Real


LARGEST = 10**18


def plain_number(value):
    """Return the int or the float of a number of any class, or None.

    That is for what is no number, not finite, or larger than ``LARGEST``.
    """
    # Of these it is known, and of progress there are millions.
    if type(value) is int:
        return value if -LARGEST <= value <= LARGEST else None
    if not isinstance(value, Real | Decimal):
        return None
    try:
        number = int(value) if isinstance(value, Integral) else float(value)
    except (OverflowError, ValueError):  # of a NaN that signals, or too large
        return None
    return number if isfinite(number) and abs(number) <= LARGEST else None
