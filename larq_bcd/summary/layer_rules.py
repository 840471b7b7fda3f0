"""What one call of a layer computes: its products, and its work on single elements.

A product is counted in multiply-accumulates. Work on single elements counts one FLOP for each
element: a bias, a batch norm, an addition of two tensors, an activation function with its
learned biases (which merge with slope or knee), the sum of a window in a pooling. Moving
values, and taking their sign, is free.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import singledispatch
from math import prod

import tensorflow as tf

from larq_bcd import activations, layers
from larq_bcd._binary import kernel_quantizer, leaves_signs, precision_of
from larq_bcd.errors import UserError
from larq_bcd.layers import DySign, RSign

_keras = tf.keras.layers
_MOVING = (
    _keras.InputLayer,
    _keras.Concatenate,
    _keras.Cropping1D,
    _keras.Cropping2D,
    _keras.Dropout,
    _keras.Flatten,
    _keras.GaussianNoise,
    _keras.Permute,
    _keras.RepeatVector,
    _keras.Reshape,
    _keras.SpatialDropout2D,
    _keras.UpSampling2D,
    _keras.ZeroPadding1D,
    _keras.ZeroPadding2D,
    layers.SpatialShift,
)


@dataclass(frozen=True)
class Product:
    """A product of a tensor with a kernel, or of two tensors.

    Attributes:
        macs: its multiply-accumulates for one image.
        is_binary: whether both of its factors are signs.
        binary_parameters: parameters of it that train as binary, whatever the input is.
    """

    macs: int
    is_binary: bool = False
    binary_parameters: int = 0


def is_sign(quantizer) -> bool:
    """Whether a quantizer, or a layer, gives plus or minus one (times a scale)."""
    if isinstance(quantizer, RSign | DySign):
        return True
    return precision_of(quantizer) == 1 and not _has_kernel(quantizer)


def _has_kernel(layer) -> bool:
    return hasattr(layer, "kernel_quantizer")


def _input_is_sign(layer) -> bool:
    """Whether what a layer multiplies with its kernel are signs."""
    if is_sign(getattr(layer, "input_quantizer", None)):
        return True
    if getattr(layer, "input_quantizer", None) is not None or not layer.inbound_nodes:
        return False
    parents = [node.layer for node in layer.inbound_nodes[0].parent_nodes]
    while len(parents) == 1 and isinstance(parents[0], _MOVING):
        parents = [node.layer for node in parents[0].inbound_nodes[0].parent_nodes]
    return bool(parents) and all(is_sign(parent) for parent in parents)


def is_real_first(layer) -> bool:
    """Whether a layer works on its model's input, with no kernel or quantizer before it."""
    if getattr(layer, "input_quantizer", None) is not None or not layer.inbound_nodes:
        return False
    pending = [node.layer for node in layer.inbound_nodes[0].parent_nodes]
    while pending:
        parent = pending.pop()
        if is_sign(parent) or any(weight.shape.rank > 1 for weight in parent.weights):
            return False
        if not isinstance(parent, _keras.InputLayer):
            pending += [node.layer for node in parent.inbound_nodes[0].parent_nodes]
    return True


def _by_kernel(layer, positions: int, part: str = "", signed_input: bool | None = None):
    """The product with the kernel of a part of a layer, `depthwise` for example."""
    name = f"{part}_kernel" if part else "kernel"
    kernel = getattr(layer, name)
    signed = _input_is_sign(layer) if signed_input is None else signed_input
    binary = leaves_signs(kernel_quantizer(layer, name), kernel)
    size = kernel.shape.num_elements()
    return Product(size * positions, signed and binary, size if binary else 0)


def _real(kernel, positions: int = 1) -> Product:
    return Product(kernel.shape.num_elements() * positions)


def _positions(shape) -> int:
    return prod(shape[1:-1])


def _elements(shape) -> int:
    return prod(shape[1:])


# The products of a layer.


@singledispatch
def products(layer, inputs, outputs) -> Iterator[Product]:
    """The products of one call of a layer, for one image.

    Args:
        layer: the layer.
        inputs: shape of its input, with the batch; of several, a list of shapes.
        outputs: shape of its output, with the batch.
    """
    refuse_kernels(layer, layer.weights)
    return iter(())


def is_known(layer) -> bool:
    """Whether the products of layers of this class are known."""
    return products.dispatch(type(layer)) is not products.dispatch(object)


def refuse_kernels(layer, weights) -> None:
    """Raises a UserError if there are kernels among weights whose use is not known."""
    if any(weight.shape.rank > 1 for weight in weights):
        raise UserError(
            f"the cost of {layer.name!r} is not known: {type(layer).__name__} is not a layer "
            "of Keras, larq or larq_bcd that can be counted; build it of such layers."
        )


@products.register(_keras.Embedding)
@products.register(_keras.BatchNormalization)
@products.register(layers.PositionEmbedding)
@products.register(_keras.PReLU)
def _(layer, inputs, outputs):
    return iter(())


@products.register(_keras.Conv1D)
@products.register(_keras.Conv2D)
@products.register(_keras.Conv3D)
@products.register(_keras.Dense)
def _(layer, inputs, outputs):
    yield _by_kernel(layer, _positions(outputs))


@products.register(_keras.Conv2DTranspose)
@products.register(_keras.Conv3DTranspose)
def _(layer, inputs, outputs):
    yield _by_kernel(layer, _positions(inputs))


@products.register(_keras.DepthwiseConv2D)
def _(layer, inputs, outputs):
    yield _by_kernel(layer, _positions(outputs), "depthwise")


@products.register(_keras.SeparableConv1D)
@products.register(_keras.SeparableConv2D)
def _(layer, inputs, outputs):
    yield _by_kernel(layer, _positions(outputs), "depthwise")
    between = is_sign(getattr(layer, "intermediate_quantizer", None))
    yield _by_kernel(layer, _positions(outputs), "pointwise", between)


@products.register(layers.DynamicThresholdQuantConv2D)
def _(layer, inputs, outputs):
    yield from products.dispatch(_keras.Conv2D)(layer, inputs, outputs)
    for kernel in (layer.context_kernel, layer.alpha_kernel, layer.beta_kernel):
        yield _real(kernel)


@products.register(layers.QuantShiftMLP)
def _(layer, inputs, outputs):
    for branch in (layer.pointwise, layer.short_range, layer.long_range):
        yield _by_kernel(
            branch, _positions(outputs), signed_input=is_sign(branch.input_quantizer)
        )


@products.register(layers.DynamicThreshold)
@products.register(activations.DynamicRPReLU)
@products.register(layers.InformationRecoupling)
def _(layer, inputs, outputs):
    for kernel in layer.hyper_function.kernels:
        yield _real(kernel)


@products.register(layers.QuantAttention)
def _(layer, inputs, outputs):
    one = Product(_positions(outputs) ** 2 * outputs[-1], is_sign(layer.input_quantizer))
    yield from (one, one)  # the scores, and the mean of the values


@products.register(layers.SequencePooling)
def _(layer, inputs, outputs):
    yield _real(layer.kernel, _positions(inputs))
    yield Product(_elements(inputs))


# The work of a layer on single elements.


@singledispatch
def elementwise(layer, inputs, outputs) -> int:
    """FLOPs of one call of a layer on single elements, for one image; see `products`."""
    return 0 if isinstance(layer, _MOVING) or is_sign(layer) else _elements(outputs)


@elementwise.register(_keras.Conv1D)
@elementwise.register(_keras.Conv2D)
@elementwise.register(_keras.Conv3D)
@elementwise.register(_keras.DepthwiseConv2D)
@elementwise.register(_keras.SeparableConv1D)
@elementwise.register(_keras.SeparableConv2D)
@elementwise.register(_keras.Dense)
def _(layer, inputs, outputs):
    activated = layer.activation not in (None, tf.keras.activations.linear)
    return (bool(layer.use_bias) + activated) * _elements(outputs)


@elementwise.register(_keras.Add)
@elementwise.register(_keras.Average)
@elementwise.register(_keras.Maximum)
@elementwise.register(_keras.Multiply)
@elementwise.register(_keras.Subtract)
def _(layer, inputs, outputs):
    return (len(inputs) - 1) * _elements(outputs)


@elementwise.register(_keras.AveragePooling2D)
@elementwise.register(_keras.MaxPooling2D)
def _(layer, inputs, outputs):
    return prod(layer.pool_size) * _elements(outputs)


@elementwise.register(_keras.GlobalAveragePooling2D)
@elementwise.register(_keras.GlobalMaxPooling2D)
@elementwise.register(layers.GroupAverage)
@elementwise.register(layers.LearnableBias)
def _(layer, inputs, outputs):
    return _elements(inputs)


@elementwise.register(layers.DynamicThreshold)
@elementwise.register(activations.DynamicRPReLU)
def _(layer, inputs, outputs):
    return 2 * _elements(inputs)  # the mean of each channel, and what it is for


@elementwise.register(layers.DynamicThresholdQuantConv2D)
def _(layer, inputs, outputs):
    conv = elementwise.dispatch(_keras.Conv2D)(layer, inputs, outputs)
    activated = layer.output_activation is not tf.keras.activations.linear
    return conv + 2 * _elements(inputs) + (1 + activated) * _elements(outputs)


@elementwise.register(layers.InformationRecoupling)
def _(layer, inputs, outputs):
    return 4 * _elements(outputs)  # the mixture, its mean, and the weighting


@elementwise.register(layers.QuantShiftMLP)
def _(layer, inputs, outputs):
    return 2 * _elements(outputs)  # the sum of three branches


@elementwise.register(layers.QuantAttention)
def _(layer, inputs, outputs):
    steps = 2 if layer.input_quantizer is None else 3  # scale, softmax, round
    return steps * layer.heads * _positions(outputs) ** 2


@elementwise.register(layers.SequencePooling)
def _(layer, inputs, outputs):
    return _positions(inputs)
