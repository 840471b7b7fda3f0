"""What is lost where a product of real values is computed with their signs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import larq as lq
import numpy as np
import tensorflow as tf

from larq_bcd._binary import are_scaled_signs, leaves_signs, precision_of
from larq_bcd.errors import UserError
from larq_bcd.layers import DynamicThresholdQuantConv2D, QuantConv2D, QuantShiftMLP

_BATCH = 8


@dataclass(frozen=True)
class BinarizationError:
    """The error of one binary product.

    Attributes:
        layer: name of the layer, and of its branch if it has several.
        kind: `"3x3 convolution"` and its like, or the branch of a `QuantShiftMLP`:
            `"pointwise"`, `"short range"` or `"long range"`.
        error: as `binarization_errors` defines it, from 0 to 1.
    """

    layer: str
    kind: str
    error: float


@dataclass(frozen=True)
class _Product:
    """A binary product beside the real one: functions of the input of their layer."""

    layer: tf.keras.layers.Layer
    name: str
    kind: str
    binary: Callable
    real: Callable


def binarization_errors(model: tf.keras.Model, images: np.ndarray) -> list[BinarizationError]:
    r"""The binarization error of every binary product of a network, on its own inputs.

    \\[ e = \min_s \frac{\| Y - s \, Y_b \|}{\| Y \|}
          = \sqrt{1 - \frac{\langle Y, Y_b \rangle^2}{\| Y \|^2 \, \| Y_b \|^2}} \\]

    \\(Y_b\\) is what the layer computes of the signs of its input and of its kernel, \\(Y\\)
    the same product of the real values that are signed: the input behind its threshold, and
    the latent kernel. 0 means the same up to a factor, which the batch norm behind the layer
    would take away, 1 nothing in common. The norms run over all images, positions and
    channels; biases are left out.

    Source: BCDNet (arXiv 2209.01404) compares its branches by such an error in figure 6; its
    equation 23 was not at hand, and this definition is this package's.

    Args:
        model: a functional network, with the latent kernels of its training.
        images: float32 array `(images, height, width, channels)`.

    Returns:
        The errors in the order of the network, those of the branches of a `QuantShiftMLP` one
        after the other.

    Raises:
        UserError: if nothing of the network is binary, or its kernels are signs already.
    """
    products = [product for layer in model.layers for product in _products(layer)]
    if not products:
        raise UserError(
            f"{model.name!r} has no convolution or shift MLP of binary inputs and kernels, and "
            "no binarization error: give a binary network, not one of the first training step."
        )
    _check_latent(model, products)
    view = tf.keras.Model(model.inputs, [one.layer.get_input_at(0) for one in products])

    any_batch = tf.TensorSpec((None, *images.shape[1:]), tf.float32)

    @tf.function(input_signature=[any_batch], autograph=False)
    def sums_of(batch):
        inputs = tf.nest.flatten(view(batch, training=False))
        return tf.stack([_sums(*pair) for pair in zip(products, inputs, strict=True)])

    starts = range(0, len(images), _BATCH)
    sums = sum(sums_of(images[start : start + _BATCH]).numpy() for start in starts)
    return [
        BinarizationError(product.name, product.kind, _error(*row))
        for product, row in zip(products, sums, strict=True)
    ]


def _sums(product: _Product, x: tf.Tensor) -> tf.Tensor:
    """Sums of the products of real and binary values, and of the squares of each."""
    x = tf.cast(x, tf.float32)
    real, binary = tf.cast(product.real(x), tf.float64), tf.cast(product.binary(x), tf.float64)
    pairs = (real, binary), (real, real), (binary, binary)
    return tf.stack([tf.reduce_sum(one * other) for one, other in pairs])


def _error(common: float, real: float, binary: float) -> float:
    if real == 0 or binary == 0:
        return float(real > 0)
    return float(np.sqrt(max(0.0, 1 - common**2 / (real * binary))))


def _check_latent(model: tf.keras.Model, products: list[_Product]) -> None:
    kernels = {id(p.layer): p.layer.weights for p in products}.values()
    latent = [w for weights in kernels for w in weights if w.shape.rank == 4]
    if all(are_scaled_signs(w.numpy()) for w in latent):
        raise UserError(
            f"the kernels of {model.name!r} are signs already, as those of published weights "
            "are: give the model of a training, such as runs/NAME/model.keras."
        )


def _products(layer: tf.keras.layers.Layer) -> Iterator[_Product]:
    if isinstance(layer, QuantShiftMLP):
        if not _is_binary(layer.pointwise):
            return
        for kind, branch, shift in (
            ("pointwise", layer.pointwise, None),
            ("short range", layer.short_range, layer.short_shift),
            ("long range", layer.long_range, layer.long_shift),
        ):
            yield _product(layer, f"{layer.name}/{branch.name}", kind, branch, shift)
    elif isinstance(layer, lq.layers.QuantConv2D) and _is_binary(layer):
        height, width = layer.kernel_size
        moved = _moved(layer) if isinstance(layer, DynamicThresholdQuantConv2D) else None
        yield _product(layer, layer.name, f"{height}x{width} convolution", layer, moved)


def _is_binary(layer: lq.layers.QuantConv2D) -> bool:
    quantizer = layer.kernel_quantizer
    return precision_of(layer.input_quantizer) == 1 and leaves_signs(quantizer, layer.kernel)


def _moved(layer: DynamicThresholdQuantConv2D) -> Callable:
    """What the signs are taken of."""

    def moved(x):
        alpha, _ = layer.contextual_embedding(x)
        return x + layer.threshold - alpha

    return moved


def _product(owner, name: str, kind: str, layer, before: Callable | None) -> _Product:
    binary = _twin(layer, layer.input_quantizer, layer.kernel_quantizer)
    real = _twin(layer, None, None)
    if before is None:
        return _Product(owner, name, kind, binary, real)
    return _Product(owner, name, kind, lambda x: binary(before(x)), lambda x: real(before(x)))


def _twin(layer: lq.layers.QuantConv2D, input_quantizer, kernel_quantizer) -> QuantConv2D:
    """A convolution of the same kernel, with other quantizers and no bias, in float32."""
    twin = QuantConv2D(
        layer.filters,
        layer.kernel_size,
        layer.strides,
        layer.get_config()["padding"],
        pad_values=layer.pad_values,
        dilation_rate=layer.dilation_rate,
        groups=layer.groups,
        use_bias=False,
        input_quantizer=input_quantizer,
        kernel_quantizer=kernel_quantizer,
        dtype="float32",
    )
    twin.build((None, None, None, layer.kernel.shape[2] * layer.groups))
    twin.kernel.assign(layer.kernel)
    return twin
