import tensorflow as tf

from larq_bcd.layers.dynamic_threshold import DynamicThreshold
from larq_bcd.quantizers import ApproxSign


@tf.keras.utils.register_keras_serializable("larq_bcd")
class DySign(DynamicThreshold):
    r"""Sign whose thresholds depend on the image, \\(\mathrm{sign}(x - (t + g(x)))\\).

    Backward, the sign has the derivative of a piecewise polynomial (larq's `approx_sign`).
    Input and output are NHWC, `(batch, height, width, channels)`; the output is -1 or 1,
    and 1 where the input is its threshold.

    Behind it a convolution pads after the sign. With a stride of 2, `padding="symmetric"`
    and zeros, the padding is an operator between the two, and the convolution ships as float,
    which a strict conversion refuses: give it `pad_values=1.0`, or use
    `DynamicThreshold` and let the convolution's `input_quantizer` take the sign.

    A reconstruction, as `DynamicThreshold` says, whose arguments it has.

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.layers import DySign, QuantConv2D
        >>> signs = DySign()(tf.random.normal((1, 14, 14, 32)))
        >>> conv = QuantConv2D(
        ...     64, 3, 2, "symmetric", pad_values=1.0, kernel_quantizer="scaled_sign"
        ... )
        >>> conv(signs).shape
        TensorShape([1, 7, 7, 64])
    """

    def __init__(self, reduction=8, initializer="zeros", data_format=None, **kwargs):
        super().__init__(reduction, initializer, data_format, **kwargs)
        self.quantizer = ApproxSign(dtype=self.dtype_policy.name)

    def call(self, inputs):
        return self.quantizer(super().call(inputs))
