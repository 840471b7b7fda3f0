"""Quantizers that larq lacks."""

import larq as lq
import tensorflow as tf

from larq_bcd._fused import fused
from larq_bcd._shown import line

__all__ = ["ApproxSign", "ScaledSign", "WideSign"]


def __dir__() -> list[str]:
    return __all__


_fused_sign = fused(lq.math.sign)


@fused
def _approx_sign_gradient(x: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    magnitude = tf.abs(x)
    inside = (1 - magnitude) * 2 * upstream
    return tf.where(magnitude <= 1, inside, tf.zeros_like(upstream))


@tf.keras.utils.register_keras_serializable("larq_bcd")
class ApproxSign(lq.quantizers.ApproxSign):
    r"""larq's `approx_sign`, bit for bit, in fewer passes over memory when it is trained.

    \\[ q(x) = \mathrm{sign}(x), \quad \mathrm{sign}(0) = 1, \qquad
        dL/dx = dL/dq \cdot \max(0, 2 - 2 |x|) \\]

    The layers of this package put it in the place of larq's.

    Source: Bi-Real Net (arXiv 1808.00278); BCDNet (arXiv 2209.01404), equation 9.

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.quantizers import ApproxSign
        >>> ApproxSign()(tf.constant([-0.5, 0.0, 2.0])).numpy()
        array([-1.,  1.,  1.], dtype=float32)
    """

    __repr__ = line

    def call(self, inputs, training=None):
        """Returns the signs, of the shape and dtype of `inputs`."""

        @tf.custom_gradient
        def sign(x):
            signs = _fused_sign(x) if training is True else lq.math.sign(x)
            return signs, lambda upstream: _approx_sign_gradient(x, upstream)

        # Past larq's own sign, to its metrics.
        return super(lq.quantizers.ApproxSign, self).call(sign(inputs))


def _times_sign(kernel: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    return scale * lq.math.sign(kernel)


_fused_times_sign = fused(_times_sign)


@fused
def _clipped(kernel: tf.Tensor, upstream: tf.Tensor, clip: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.abs(kernel) <= clip, upstream, tf.zeros_like(upstream))


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

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.quantizers import ScaledSign
        >>> kernel = tf.constant([[0.5, 1.0], [-1.5, 3.0]])  # two inputs, two output channels
        >>> ScaledSign()(kernel).numpy()
        array([[ 1.,  2.],
               [-1.,  2.]], dtype=float32)
    """

    __repr__ = line

    def __init__(self, clip_value=1.0, metrics=None, **kwargs):
        super().__init__(clip_value, metrics=metrics, **kwargs)

    def call(self, inputs, training=None):
        """Returns the binarized kernel, of the shape and dtype of `inputs`."""
        # In float32: a bfloat16 mean over thousands of weights would lose its last digits.
        magnitude = tf.abs(tf.cast(inputs, tf.float32))
        scale = tf.reduce_mean(magnitude, axis=list(range(inputs.shape.rank - 1)))
        scale = tf.cast(scale, inputs.dtype)
        times_sign = _fused_times_sign if training is True else _times_sign

        @tf.custom_gradient
        def scaled_sign(kernel):
            def gradient(upstream):
                if self.clip_value is None:
                    return upstream
                return _clipped(kernel, upstream, tf.cast(self.clip_value, kernel.dtype))

            return times_sign(kernel, scale), gradient

        if self._custom_metrics:
            super().call(inputs)
        return scaled_sign(inputs)


@lq.utils.register_alias("wide_sign")
@lq.utils.register_keras_custom_object
class WideSign(lq.quantizers.SteSign):
    r"""Sign whose gradient is that of the identity where \\(|x| \le c\\), by default 1.5.

    Source: BNext (arXiv 2211.12933), its official code.

    Args:
        clip_value: \\(c\\), the largest magnitude that receives a gradient.
        metrics: larq's metrics to add.

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.quantizers import WideSign
        >>> WideSign()(tf.constant([-0.5, 0.0, 2.0])).numpy()
        array([-1.,  1.,  1.], dtype=float32)
    """

    __repr__ = line

    def __init__(self, clip_value=1.5, metrics=None, **kwargs):
        super().__init__(clip_value, metrics=metrics, **kwargs)
