"""What it means that a layer trains as binary: one definition for counting and converting."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import tensorflow as tf

# Operations that jump where their input crosses a threshold.
STEPS = frozenset({"Sign", "Round", "Rint", "Floor", "Ceil"})
ORDERS = frozenset({"Greater", "GreaterEqual", "Less", "LessEqual"})
COMPARISONS = ORDERS | {"Equal", "NotEqual"}

# Scales are rounded once when a factor is multiplied in.
_ROUNDED = 1e-5


def are_scaled_signs(kernel: np.ndarray) -> bool:
    """Whether every channel of the last axis is plus or minus one scale."""
    size = np.abs(kernel).reshape(-1, kernel.shape[-1])
    return bool(np.all(np.ptp(size, axis=0) <= _ROUNDED * size.max(axis=0)))


def is_binary(precision: int | None, operations: Collection[str], values: np.ndarray) -> bool:
    """Whether a kernel is binary in training: no more is left of its weights than signs.

    That is so where a quantizer of one bit says it, where a sign is taken, whatever scales
    the result, and where another step gives each output channel plus or minus one scale.
    What the input is does not matter: a layer with binary weights is meant to be small.

    Args:
        precision: the bits of the kernel's quantizer; None where it does not say.
        operations: types of the operations between the variable and the product.
        values: of the kernel there.
    """
    if precision == 1 or "Sign" in operations:
        return True
    return not (STEPS | COMPARISONS).isdisjoint(operations) and are_scaled_signs(values)


def leaves_signs(quantizer: Callable | None, kernel: tf.Variable) -> bool:
    """Whether a quantizer makes a kernel binary, by the definition of `is_binary`."""
    if quantizer is None or (precision := precision_of(quantizer)) == 1:
        return quantizer is not None
    quantized = tf.function(quantizer).get_concrete_function(
        tf.TensorSpec(kernel.shape, kernel.dtype)
    )
    operations = {op.type for op in quantized.graph.get_operations()}
    return is_binary(precision, operations, quantized(tf.convert_to_tensor(kernel)).numpy())


def precision_of(quantizer: Any) -> int | None:
    """The bits that a quantizer of larq says to leave; None of anything else."""
    return getattr(quantizer, "precision", None)


def kernel_quantizer(layer: tf.keras.layers.Layer, variable: str) -> Any:
    """The quantizer of one of a layer's kernels by larq's names, or None.

    Args:
        layer: of Keras, larq or this package.
        variable: the kernel's name, such as `"depthwise_kernel"`.
    """
    part = variable.removesuffix("kernel") or "kernel_"
    return getattr(layer, f"{part}quantizer", None)


def quantizer_name(quantizer: Any) -> str:
    """What a quantizer is called: the function's name, or else the class's."""
    return getattr(quantizer, "__name__", None) or type(quantizer).__name__
