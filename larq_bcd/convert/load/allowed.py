"""What the file of a model may name: the lists of `allowed.yaml`, which says what they are."""

from importlib import resources

import tensorflow as tf
import yaml

_LISTS = yaml.safe_load(
    resources.files(__package__).joinpath("allowed.yaml").read_text("utf-8")
)

FUNCTIONS = frozenset(
    f"{prefix}{name}"
    for prefix, listed in _LISTS["functions"].items()
    for name in listed.split()
)


def _listed(key: str) -> frozenset[str]:
    return frozenset(_LISTS[key].split())


ACTIVATIONS, MODULES = _listed("activations"), _listed("modules")
# Of the operations of a SavedModel, and of their attributes.
STATE, STRINGS, SAVER = _listed("state"), _listed("strings"), _listed("saver")
TEXT_ATTRIBUTES = _listed("text_attributes")


def _public_classes(module, base: type) -> frozenset[str]:
    return frozenset(
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base)
    )


# What is in these modules of Keras fills, measures or confines tensors, each of it.
CLASSES = (
    _listed("layers")
    | _listed("data")
    | _public_classes(tf.keras.initializers, tf.keras.initializers.Initializer)
    | _public_classes(tf.keras.regularizers, tf.keras.regularizers.Regularizer)
    | _public_classes(tf.keras.constraints, tf.keras.constraints.Constraint)
    | _public_classes(tf.keras.metrics, tf.keras.metrics.Metric)
)
