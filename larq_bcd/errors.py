"""The base of the errors whose message is written for the user."""

__all__ = ["UserError"]


def __dir__() -> list[str]:
    return __all__


class UserError(ValueError):
    """What the user asked for cannot be done; the message names it and says what to do.

    The commands print the message in one line and exit with status 2; everything else that
    is raised is a fault of the package, and keeps its traceback.
    """
