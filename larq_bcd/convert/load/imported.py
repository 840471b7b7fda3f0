"""Lets Keras find what a module of the user's defines, registered with it or not."""

import inspect
from types import ModuleType

import tensorflow as tf

from larq_bcd.convert.load.code import is_known_to_keras

# What a configuration may hold; other classes of a module are no business of a model's.
_PARTS = (
    tf.keras.layers.Layer,
    tf.keras.constraints.Constraint,
    tf.keras.initializers.Initializer,
    tf.keras.regularizers.Regularizer,
)


def register_contents(module: ModuleType) -> None:
    """Registers the layers and functions that a module defines, by their own names.

    What is registered already stays, and so do the names of Keras's own layers.

    Args:
        module: one that the user has named.
    """
    known = tf.keras.utils.get_custom_objects()
    for name, value in vars(module).items():
        if _is_part(name, value, module) and not is_known_to_keras(name):
            known.setdefault(name, value)


def _is_part(name: str, value, module: ModuleType) -> bool:
    is_class = inspect.isclass(value) and issubclass(value, _PARTS)
    if name.startswith("_") or not (is_class or inspect.isfunction(value)):
        return False
    home = value.__module__
    return home == module.__name__ or home.startswith(f"{module.__name__}.")
