"""Chains of elementwise operations as one pass over memory."""

import functools
from collections.abc import Callable

import tensorflow as tf
from tensorflow.python.saved_model import save_context


def traced_for_this_cpu() -> bool:
    """Whether what is called now is traced to a graph that will run here, on a CPU.

    A SavedModel has to run anywhere. That one is being written only TensorFlow's own module
    tells.
    """
    if not tf.inside_function() or save_context.in_save_context():
        return False
    return all(device.device_type == "CPU" for device in tf.config.list_physical_devices())


def compiled_by_xla() -> bool:
    """Whether what is traced now will be compiled by XLA, which lacks some operations."""
    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        context = graph._get_control_flow_context()  # as tf-keras asks; nothing public tells
        while context is not None:
            if context.IsXLAContext():
                return True
            context = context.outer_context
        graph = getattr(graph, "outer_graph", None)
    return False


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
        if not traced_for_this_cpu():
            return function(*tensors)
        return compiled(*tensors)

    return call
