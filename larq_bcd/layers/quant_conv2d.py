import contextlib
import logging
import math
from collections.abc import Iterator

import larq as lq
import tensorflow as tf

from larq_bcd.layers import _binary_convolution as binary_convolution
from larq_bcd.layers import _checks
from larq_bcd.quantizers import ApproxSign, ScaledSign, WideSign


@contextlib.contextmanager
def _unclipped_latent_weights() -> Iterator[None]:
    """Silences larq's advice to clip the latent weights: the papers clip their gradient."""
    logger = logging.getLogger("larq.layers_base")

    def without_advice(record: logging.LogRecord) -> bool:
        return "kernel_constraint" not in record.getMessage()

    logger.addFilter(without_advice)
    try:
        yield
    finally:
        logger.removeFilter(without_advice)


def with_policy(quantizer, policy: str):
    """The quantizer in the layer's precision: a layer itself, it casts to its own policy.

    larq's `ApproxSign` becomes the one of this package, which is the same function.
    """
    own_policy = getattr(quantizer, "dtype_policy", None)
    kind = type(quantizer)
    kind = ApproxSign if kind is lq.quantizers.ApproxSign else kind
    if own_policy is None or (own_policy.name == policy and kind is type(quantizer)):
        return quantizer
    again = kind.from_config({**quantizer.get_config(), "dtype": policy})
    again._custom_metrics = quantizer._custom_metrics
    return again


_SIGNS = (lq.quantizers.SteSign, lq.quantizers.ApproxSign, lq.quantizers.SwishSign)
# Exactly these and no subclass, which may scale what it signs.
_PLAIN_SIGNS = {*_SIGNS, ApproxSign, WideSign}
_KERNEL_SIGNS = {*_PLAIN_SIGNS, ScaledSign, lq.quantizers.MagnitudeAwareSign}


@tf.keras.utils.register_keras_serializable("larq_bcd")
class QuantConv2D(lq.layers.QuantConv2D):
    r"""larq's `QuantConv2D` with one more padding, `"symmetric"`.

    `padding="symmetric"` adds \\(d (k - 1) / 2\\) rows or columns on every side, for kernel
    size \\(k\\) and dilation \\(d\\), as the PyTorch networks do. Unlike `"same"`, which has
    the same output size, it does so at every stride. It keeps the convolution one that
    Larq Compute Engine sees as binary, which forbids a padding between sign and convolution:

    - `pad_values` of 1 and -1 are padded before the sign, which keeps them.
    - With a `pad_values` of 0, the image gets one more row and column whose values are never
      used. The engine's own zero padding is symmetric then, and the last output row and
      column are cut off.

    Input `(batch, height, width, channels)`, output `(batch, new_height, new_width,
    filters)`, of the layer's compute dtype. The arguments are larq's.

    Raises:
        ValueError: for NCHW; with symmetric padding, for a kernel of even size, or one that
            is too large for its stride to be padded with zeros and stay binary.
    """

    def __init__(self, filters, kernel_size, strides=(1, 1), padding="valid", **kwargs):
        self._binary_pads: tuple | None = None
        self._symmetric = isinstance(padding, str) and padding.lower() == "symmetric"
        with _unclipped_latent_weights():
            super().__init__(
                filters, kernel_size, strides, "same" if self._symmetric else padding, **kwargs
            )
        _checks.channels_last(type(self).__name__, self.data_format)
        for name in ("input_quantizer", "kernel_quantizer"):
            quantizer = with_policy(getattr(self, name), self.dtype_policy.name)
            setattr(self, name, quantizer)
        if self._symmetric and any(size % 2 == 0 for size in self.kernel_size):
            raise ValueError(
                f"{self.name}: kernel_size={self.kernel_size} cannot be padded equally on "
                "both sides: use odd sizes, or padding='same'."
            )

    def _is_binary(self) -> bool:
        """Whether input and kernel are signs, those of a kernel with one scale per filter."""
        return (
            type(self.input_quantizer) in _PLAIN_SIGNS
            and type(self.kernel_quantizer) in _KERNEL_SIGNS
            and abs(self.pad_values) in (0.0, 1.0)
            and self.groups == 1
            and self.dilation_rate == (1, 1)
        )

    def _pads(self, inputs) -> tuple:
        if self.padding == "valid":
            return ((0, 0), (0, 0))
        return tuple(self._get_spatial_padding_same(inputs.shape[1:3]))

    def convolution_op(self, inputs, kernel):
        """Convolves the quantized input with the quantized kernel."""
        if self._binary_pads is None:
            return super().convolution_op(inputs, kernel)
        kernel = tf.convert_to_tensor(kernel)
        return binary_convolution.binary_convolution(
            inputs, kernel, self.strides, self._binary_pads, self.pad_values
        )

    def _margins(self) -> list[int]:
        return [
            dilation * (size - 1) // 2
            for size, dilation in zip(self.kernel_size, self.dilation_rate, strict=True)
        ]

    def _get_spatial_padding_same(self, shape):
        if not self._symmetric:
            return super()._get_spatial_padding_same(shape)
        return [(margin, margin) for margin in self._margins()]

    def _missing(self, image: tf.TensorShape) -> list[int] | None:
        """Rows and columns after which "same" is symmetric, or None for a dynamic size."""
        if not image.is_fully_defined():
            return None
        missing = []
        for size, stride, margin in zip(image, self.strides, self._margins(), strict=True):
            missing.append((1 - size) % stride)
            if missing[-1] and (size - 1) // stride * stride + margin >= size:
                raise ValueError(
                    f"{self.name}: kernel_size={self.kernel_size} with strides="
                    f"{self.strides} cannot be padded symmetrically with pad_values=0.0 on "
                    f"an image of size {size} and stay binary: use pad_values=1.0, a "
                    f"smaller kernel, or an image of size {size + missing[-1]}."
                )
        return missing

    @contextlib.contextmanager
    def _patched(self, **attributes) -> Iterator[None]:
        saved = {name: getattr(self, name) for name in attributes}
        try:
            self.__dict__.update(attributes)
            yield
        finally:
            self.__dict__.update(saved)

    def call(self, inputs, training=None):
        """Returns the convolution of the quantized input and kernel."""
        if training is True and self._is_binary() and binary_convolution.supported(inputs):
            with self._patched(_is_native_padding=True, _binary_pads=self._pads(inputs)):
                return super().call(inputs)
        # At stride 1, "same" is symmetric already.
        if not self._symmetric or self.strides == (1, 1):
            return super().call(inputs)
        if isinstance(self.input_quantizer, _SIGNS) and abs(self.pad_values) == 1.0:
            margins = [[0, 0], *([margin, margin] for margin in self._margins()), [0, 0]]
            padded = tf.pad(inputs, margins, constant_values=self.pad_values)
            with self._patched(padding="valid", _is_native_padding=True):
                return super().call(padded)
        missing = None
        if self.input_quantizer and self.pad_values == 0.0:
            missing = self._missing(inputs.shape[1:3])
        if missing is None:
            with self._patched(_is_native_padding=False):
                return super().call(inputs)
        longer = tf.pad(inputs, [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]])
        outputs = super().call(longer)
        rows, columns = (
            math.ceil(size / stride)
            for size, stride in zip(inputs.shape[1:3], self.strides, strict=True)
        )
        return outputs[:, :rows, :columns, :]

    def get_config(self):
        """Returns the arguments that rebuild this layer."""
        padding = {"padding": "symmetric"} if self._symmetric else {}
        return {**super().get_config(), **padding}
