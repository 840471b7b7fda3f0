"""Kernels that the converter cannot quantize while it converts, quantized before.

What is computed of constants alone, such as the signs of a kernel and their scale, Larq Compute
Engine 0.16 computes while it converts. Of a kernel of 37,748,736 values, which XNOR-Net and
DoReFa-Net have, it leaves the signs to be computed by the file, whose kernel stays float, and
for their mean it fails: "cannot create std::vector larger than max_size()". Up to 2^24 values
it does what it should.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tensorflow as tf

from larq_bcd.convert.graph import InferenceGraph

_LARGEST = 2**24


@dataclass(frozen=True)
class QuantizedBefore:
    """What a model computes, with kernels that are quantized already.

    Attributes:
        infer: takes one tensor for each input of the model, a batch of one, and returns the
            outputs, while a function is traced.
        kernels: the quantized kernels.
        note: says whose they are, and why.
    """

    infer: Callable[[Sequence[tf.Tensor]], list[tf.Tensor]]
    kernels: tuple[tf.Variable, ...]
    note: str


def quantized_before(model: tf.keras.Model) -> QuantizedBefore | None:
    """Quantizes the kernels of a model that are too large for the converter.

    Args:
        model: a built model; it is not changed.

    Returns:
        What it computes with them, or None if it has no such kernel.
    """
    if all(math.prod(weight.shape) <= _LARGEST for weight in model.weights):
        return None
    graph = InferenceGraph(model)
    kernels, names = {}, []
    for layer in graph.weighted_ops:
        tensor = layer.kernel_tensor
        if layer.kernel.size > _LARGEST and not _is_read(tensor):
            kernels[tensor.name] = tf.Variable(layer.kernel, trainable=False)
            names.append(layer.name)
    if not kernels:
        return None
    definition = graph.graph.as_graph_def()

    def infer(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        capture = tf.compat.v1.get_default_graph().capture
        fed = {inner.name: capture(outer) for outer, inner in graph.graph.captures}
        fed |= {name: kernel.read_value() for name, kernel in kernels.items()}
        fed |= {inner.name: x for inner, x in zip(graph.inputs, tensors, strict=True)}
        outputs = [output.name for output in graph.outputs]
        return tf.graph_util.import_graph_def(definition, fed, outputs, name="")

    note = (
        f"{', '.join(names)}: quantized before the conversion, since Larq Compute Engine "
        f"leaves kernels of more than {_LARGEST:,} values as they are"
    )
    return QuantizedBefore(infer, tuple(kernels.values()), note)


def _is_read(tensor: tf.Tensor) -> bool:
    """Whether a kernel is that of a variable as it is."""
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor.op.type == "ReadVariableOp"
