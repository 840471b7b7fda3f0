"""The parts of a split, in the notation of tensorflow_datasets."""

import re

from larq_bcd.errors import UserError


class NoSplitError(UserError):
    """A data set has no split of that name."""


_PART = re.compile(r"(?P<name>[^\[\]]+)(\[(?P<start>-?\d+%?)?:(?P<stop>-?\d+%?)?\])?")


def parse(split: str) -> tuple[str, str | None, str | None]:
    """Returns the name of a split, and the first and the last bound of its part.

    Raises:
        UserError: if the notation is another one.
    """
    match = _PART.fullmatch(split.strip())
    if match is None:
        raise UserError(
            f"split {split!r} is not supported: pass a name such as 'train', or a part such "
            "as 'train[:90%]' or 'train[1000:]'."
        )
    return match["name"].strip(), match["start"], match["stop"]


def bounds(start: str | None, stop: str | None, count: int) -> tuple[int, int]:
    """Returns the first example of a part of `count`, and the one after its last."""

    def index(bound: str | None, default: int) -> int:
        if bound is None:
            return default
        value = int(bound.rstrip("%"))
        if bound.endswith("%"):
            value = round(value * count / 100)
        return min(max(value + count if value < 0 else value, 0), count)

    return index(start, 0), index(stop, count)
