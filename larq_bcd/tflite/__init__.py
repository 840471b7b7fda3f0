"""The `.tflite` file itself, without Keras."""

from larq_bcd.tflite.engines import Engine, open_engine

__all__ = ["Engine", "open_engine"]


def __dir__() -> list[str]:
    return __all__
