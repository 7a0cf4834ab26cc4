"""Numbers that come in from outside are plain ones from there on."""

from collective.background.model.numbers import LARGEST
from collective.background.model.numbers import plain_number
from decimal import Decimal
from fractions import Fraction
from numbers import Integral

import pytest


class Int64(float):
    """As that of numpy: a whole number, which is no int."""

    def __int__(self):
        return int(float(self))


Integral.register(Int64)


class Metres(float):
    """A number of an add-on."""


@pytest.mark.parametrize(
    ("given", "number"),
    [
        (7, 7),
        (-LARGEST, -LARGEST),
        (0.5, 0.5),
        (True, 1),
        (Int64(7), 7),
        (Metres(0.5), 0.5),
        (Fraction(1, 2), 0.5),
        (Decimal("0.5"), 0.5),
    ],
)
def test_a_number_of_any_class_is_one(given, number):
    found = plain_number(given)
    assert found == number
    assert type(found) is type(number)


@pytest.mark.parametrize(
    "given",
    [
        *("7", None, b"7", [7], 7j),
        *(float("nan"), float("inf"), Decimal("NaN"), Decimal("sNaN")),
        *(10**400, LARGEST + 1, 1e300, Fraction(10**400), Decimal("1e400")),
    ],
    ids=lambda value: str(type(value)),
)
def test_what_is_none(given):
    assert plain_number(given) is None
