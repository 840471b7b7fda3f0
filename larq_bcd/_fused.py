"""Chains of elementwise operations as one pass over memory."""

import functools
from collections.abc import Callable

import tensorflow as tf


def fused(function: Callable) -> Callable:
    """Compiles a function of tensors by XLA, where it is part of a graph on the CPU.

    TensorFlow's kernels read and write memory once for each operation, which for elementwise
    functions of large tensors is all that they cost. Called eagerly the function stays as it
    is, since each shape would have to be compiled; on other devices as well, where this has
    not been measured. For training alone: Larq Compute Engine does not see through it.
    """
    compiled = tf.function(function, jit_compile=True, autograph=False)

    @functools.wraps(function)
    def call(*tensors):
        accelerators = len(tf.config.list_physical_devices()) > len(
            tf.config.list_physical_devices("CPU")
        )
        if accelerators or not tf.inside_function():
            return function(*tensors)
        return compiled(*tensors)

    return call
