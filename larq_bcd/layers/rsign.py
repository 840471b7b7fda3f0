import tensorflow as tf

from larq_bcd.layers.learnable_bias import LearnableBias
from larq_bcd.quantizers import ApproxSign


@tf.keras.utils.register_keras_serializable("larq_bcd")
class RSign(LearnableBias):
    r"""Sign with one learned threshold per channel, \\(\mathrm{sign}(x + b)\\).

    Backward, the sign has the derivative of a piecewise polynomial (larq's `approx_sign`).
    Input and output are NHWC, `(batch, height, width, channels)`; the output is -1 or 1,
    and 1 where \\(x + b = 0\\).

    Behind it a convolution pads after the sign. With a stride of 2, `padding="symmetric"`
    and zeros, the padding is an operator between the two, and the convolution ships as float,
    which a strict conversion refuses: give it `pad_values=1.0`, or use
    `LearnableBias` and let the convolution's `input_quantizer` take the sign.

    Source: ReActNet (arXiv 2003.03488), equation 1; BCDNet (arXiv 2209.01404), equation 9.
    The arguments are those of `LearnableBias`.

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.layers import RSign
        >>> x = tf.constant([[[[-0.5, 0.0, 0.5]]]])  # one pixel of three channels
        >>> RSign()(x).numpy()
        array([[[[-1.,  1.,  1.]]]], dtype=float32)
    """

    def __init__(
        self,
        initializer="zeros",
        regularizer=None,
        constraint=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(initializer, regularizer, constraint, data_format, **kwargs)
        self.quantizer = ApproxSign(dtype=self.dtype_policy.name)

    def call(self, inputs, training=None):
        return self.quantizer(super().call(inputs, training))
