"""Binary networks with contextual dependencies for Keras, from training to the device.

    layers, quantizers, activations   what binary networks are made of
    models                            the networks, by name and as functions
    data, training                    images, and training by a recipe
    evaluation, explain, summary      what a network gets right, looks at and costs
    convert, tflite                   from a trained network to a checked file

Each is imported when it is first used, as `larq_bcd.models`.
"""

import importlib
from typing import TYPE_CHECKING

from larq_bcd import _program

if TYPE_CHECKING:
    from larq_bcd import (
        activations,
        convert,
        data,
        evaluation,
        explain,
        layers,
        models,
        quantizers,
        summary,
        tflite,
        training,
    )

__all__ = [
    "activations",
    "convert",
    "data",
    "evaluation",
    "explain",
    "layers",
    "models",
    "quantizers",
    "summary",
    "tflite",
    "training",
]
__version__ = "0.1.0"

if _program.needs_keras_at_once():
    importlib.import_module("larq_bcd._keras").register()


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    importlib.import_module("larq_bcd._keras").register()
    return importlib.import_module(f"larq_bcd.{name}")


def __dir__() -> list[str]:
    return __all__
