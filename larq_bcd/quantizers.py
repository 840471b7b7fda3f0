"""Quantizers that larq lacks."""

import larq as lq
import tensorflow as tf

__all__ = ["ScaledSign", "WideSign"]


@tf.custom_gradient
def _scale_forward(signs: tf.Tensor, scale: tf.Tensor):
    """`scale * signs`, with the gradient of `signs` alone."""
    return scale * signs, lambda upstream: (upstream, None)


@lq.utils.register_alias("scaled_sign")
@lq.utils.register_keras_custom_object
class ScaledSign(lq.quantizers.SteSign):
    r"""Binarizes a kernel to the sign of its weights times one scale per output channel.

    \\[ q(W)_o = \alpha_o \, \mathrm{sign}(W_o), \qquad \alpha_o = \mathrm{mean} |W_o| \\]

    The mean runs over every axis but the last, and \\(\mathrm{sign}(0) = 1\\). Backward,
    \\(\alpha\\) is a constant and is not multiplied in:
    \\(dL/dW = dL/dq \cdot 1\{|W| \le c\}\\). larq's `magnitude_aware_sign` has the same
    values, but multiplies its gradient by \\(\alpha\\).

    Source: BCDNet (arXiv 2209.01404), equation 1, and its official code.

    Args:
        clip_value: \\(c\\), the largest magnitude of a weight that receives a gradient, or
            `None` for all.
        metrics: larq's metrics to add, such as `"flip_ratio"`, which counts signs.
    """

    def call(self, inputs):
        """Returns the binarized kernel, of the shape and dtype of `inputs`."""
        # In float32: a bfloat16 mean over thousands of weights would lose its last digits.
        magnitude = tf.abs(tf.cast(inputs, tf.float32))
        scale = tf.reduce_mean(magnitude, axis=list(range(inputs.shape.rank - 1)))
        return _scale_forward(super().call(inputs), tf.cast(scale, inputs.dtype))


@lq.utils.register_alias("wide_sign")
@lq.utils.register_keras_custom_object
class WideSign(lq.quantizers.SteSign):
    r"""Sign whose gradient is that of the identity where \\(|x| \le c\\), by default 1.5.

    Source: BNext (arXiv 2211.12933), its official code.

    Args:
        clip_value: \\(c\\), the largest magnitude that receives a gradient.
        metrics: larq's metrics to add.
    """

    def __init__(self, clip_value=1.5, **kwargs):
        super().__init__(clip_value, **kwargs)
