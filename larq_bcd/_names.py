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
        Such as `"did you mean 'train' or 'test'?"`, the nearest of at most three first; empty
        if nothing is near.
    """
    plain = {_plain(other): other for other in known if _plain(other)}
    wanted = _plain(name)
    near = difflib.get_close_matches(wanted, plain, n=3, cutoff=0.6)
    if len(wanted) > 2:
        near += [other for other in plain if other not in near and _begins(wanted, other)]
    names = " or ".join(repr(plain[match]) for match in near[:3])
    return f"{before}did you mean {names}?" if names else ""


def _begins(a: str, b: str) -> bool:
    return a.startswith(b) or b.startswith(a)


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
