"""The commands `larq-bcd` and `lce_convert`: a module for each."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__
