"""What a name that there is not may have meant."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], before: str = "") -> str:
    """Asks for the names next to one that is not known.

    Case and punctuation do not count, and a beginning is near to what it begins, as `val` is
    to `validation`.

    Args:
        name: what was given.
        known: the names that there are.
        before: what leads to the question, such as `", "`.

    Returns:
        Such as `"did you mean 'train'?"`, or at most three that are equally near; empty if
        nothing is near.
    """
    plain = {_plain(other): other for other in known if _plain(other)}
    wanted = _plain(name)
    near = difflib.get_close_matches(wanted, plain, n=3, cutoff=0.6)
    # Only the nearest: `cifar10_n` was not meant where `cifar10` is nearer.
    near = [other for other in near if _likeness(wanted, other) == _likeness(wanted, near[0])]
    if not near and len(wanted) > 2:
        near = [
            other for other in plain if other.startswith(wanted) or wanted.startswith(other)
        ]
    names = " or ".join(repr(plain[match]) for match in near[:3])
    return f"{before}did you mean {names}?" if names else ""


def _likeness(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, b, a).ratio()


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
