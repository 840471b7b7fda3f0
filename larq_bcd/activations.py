"""Activation functions of binary networks."""

import tensorflow as tf

from larq_bcd._fused import fused
from larq_bcd.layers import _checks
from larq_bcd.layers._hyper_function import HyperFunction
from larq_bcd.layers._layer import Layer

__all__ = ["DynamicRPReLU", "RPReLU"]


def __dir__() -> list[str]:
    return __all__


def _prelu(x: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
    # Spelled as in Keras' PReLU: one operator to the converter.
    return tf.nn.relu(x) + -slope * tf.nn.relu(-x)


def _shifted_prelu(x, before, slope, after):
    return _prelu(x + before, slope) + after


_fused_shifted_prelu = fused(_shifted_prelu)


@fused
def _prelu_gradients(x, before, slope, upstream):
    """The gradient of the shifted input, and what adds up to the slope's."""
    shifted = x + before
    below = tf.cast(tf.minimum(shifted, 0) * upstream, tf.float32)
    return tf.where(shifted > 0, upstream, slope * upstream), below


@fused
def _sums(of_x, below, upstream, before, slope, after):
    """The gradients of what was broadcast: of one value per channel, or per image too."""
    pairs = (of_x, before), (below, slope), (upstream, after)
    return tuple(_summed(gradient, like) for gradient, like in pairs)


def _summed(gradient, like):
    axes = (1, 2) if like.shape.rank == 4 else (0, 1, 2)
    total = tf.reduce_sum(tf.cast(gradient, tf.float32), axes)
    return tf.cast(tf.reshape(total, tf.shape(like)), like.dtype)


def _rprelu(x, before, slope, after, training):
    """RPReLU of an NHWC tensor, whose backward pass keeps the input alone.

    TensorFlow's own would keep the two rectified halves.
    """
    forward = _fused_shifted_prelu if training is True else _shifted_prelu

    @tf.custom_gradient
    def activated(x, before, slope, after):
        def gradient(upstream):
            of_x, below = _prelu_gradients(x, before, slope, upstream)
            return of_x, *_sums(of_x, below, upstream, before, slope, after)

        return forward(x, before, slope, after), gradient

    # As tensors, for a variable would lose the casts of mixed precision.
    return activated(x, *(tf.cast(value, x.dtype) for value in (before, slope, after)))


@tf.keras.utils.register_keras_serializable("larq_bcd")
class RPReLU(Layer):
    r"""PReLU whose knee is moved by learned biases, \\(\mathrm{PReLU}(x + b_1) + b_2\\).

    Slope and both biases are one per channel. Input and output are NHWC,
    `(batch, height, width, channels)`, of the layer's compute dtype.

    Source: ReActNet (arXiv 2003.03488), equation 3.

    Args:
        slope_initializer: initializer of the slope below the knee, of shape `(channels,)`;
            the default is a constant 0.25.
        bias_initializer: initializer of both biases, of shape `(channels,)`.
        data_format: `"channels_last"`.

    Raises:
        ValueError: if the data format is not NHWC or the channels are not known.

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.activations import RPReLU
        >>> x = tf.constant([[[[-4.0, 4.0]]]])  # one pixel of two channels
        >>> RPReLU()(x).numpy()
        array([[[[-1.,  4.]]]], dtype=float32)
    """

    saved: tuple[str, ...] = ("slope_initializer", "bias_initializer", "data_format")

    def __init__(
        self, slope_initializer=None, bias_initializer="zeros", data_format=None, **kwargs
    ):
        super().__init__(**kwargs)
        if slope_initializer is None:
            slope_initializer = tf.keras.initializers.Constant(0.25)
        self.slope_initializer = tf.keras.initializers.get(slope_initializer)
        self.bias_initializer = tf.keras.initializers.get(bias_initializer)
        self.data_format = _checks.channels_last(type(self).__name__, data_format)

    def build(self, input_shape):
        shape = (_checks.channels(type(self).__name__, input_shape),)
        self.bias_before = self.add_weight(
            name="bias_before", shape=shape, initializer=self.bias_initializer
        )
        self.slope = self.add_weight(
            name="slope", shape=shape, initializer=self.slope_initializer
        )
        self.bias_after = self.add_weight(
            name="bias_after", shape=shape, initializer=self.bias_initializer
        )
        super().build(input_shape)

    def call(self, inputs, training=None):
        return self._activated(inputs, self.bias_before, self.bias_after, training)

    def _activated(self, inputs, before, after, training):
        # The slope shaped as in Keras' PReLU.
        slope = tf.reshape(self.slope, (1, 1, -1))
        return _rprelu(inputs, before, slope, after, training)


@tf.keras.utils.register_keras_serializable("larq_bcd")
class DynamicRPReLU(RPReLU):
    r"""RPReLU whose biases depend on the image.

    \\[ \mathrm{PReLU}(x + b_1 + g_1(x)) + b_2 + g_2(x) \\]

    \\(g_1\\) and \\(g_2\\), one value per channel each, are one hyper function of the channel
    statistics, as in `larq_bcd.layers.DynamicThreshold`; they start at zero. The slope is
    static. Input and output are NHWC, `(batch, height, width, channels)`.

    A reconstruction: *Boosting Binary Neural Networks via Dynamic Thresholds Learning*
    (arXiv 2211.02292) makes the shifts of the PReLU dynamic; its equations were not at hand.

    Args:
        reduction: input channels per hidden value of the hyper function.
        slope_initializer: initializer of the slope, as of `RPReLU`.
        bias_initializer: initializer of the static biases, as of `RPReLU`.
        data_format: `"channels_last"`.

    Raises:
        ValueError: if the reduction is not a positive integer, the channels are not known, or
            for NCHW.

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.activations import DynamicRPReLU
        >>> DynamicRPReLU(reduction=8)(tf.random.normal((1, 14, 14, 32))).shape
        TensorShape([1, 14, 14, 32])
    """

    saved = ("reduction", *RPReLU.saved)

    def __init__(
        self,
        reduction=8,
        slope_initializer=None,
        bias_initializer="zeros",
        data_format=None,
        **kwargs,
    ):
        super().__init__(slope_initializer, bias_initializer, data_format, **kwargs)
        self.hyper_function = HyperFunction(self.name, reduction)
        self.reduction = self.hyper_function.reduction

    def build(self, input_shape):
        channels = _checks.channels(type(self).__name__, input_shape)
        self.hyper_function.build(self, input_shape, outputs=2 * channels)
        super().build(input_shape)

    def call(self, inputs, training=None):
        before, after = tf.split(self.hyper_function(inputs), 2, axis=-1)
        before, after = self.bias_before + before, self.bias_after + after
        return self._activated(inputs, before, after, training)
