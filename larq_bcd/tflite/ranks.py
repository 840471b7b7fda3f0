"""Operators that broadcast: their kernels abort the process on more dimensions than they know.

TensorFlow Lite's compute the same shape for both operands in any number of dimensions, but
broadcast in few, and look at that with an assertion.
"""

from collections.abc import Sequence

_COMPARISONS = ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL")
# As of Larq Compute Engine 0.16.
MOST_DIMENSIONS = {
    **dict.fromkeys((*_COMPARISONS, "LOGICAL_AND", "LOGICAL_OR"), 4),
    **dict.fromkeys(("POW", "FLOOR_DIV", "FLOOR_MOD"), 4),
    **dict.fromkeys(("MAXIMUM", "MINIMUM", "SELECT_V2"), 5),
    **dict.fromkeys(("DIV", "SQUARED_DIFFERENCE"), 6),
}


def aborts(kind: str, shapes: Sequence[Sequence[int]]) -> bool:
    """Whether a kernel aborts on operands of such shapes.

    Args:
        kind: of the operator, such as `"GREATER_EQUAL"`.
        shapes: of its operands.
    """
    most = MOST_DIMENSIONS.get(kind)
    if most is None or all(list(shape) == list(shapes[0]) for shape in shapes):
        return False
    return max(map(len, shapes)) > most
