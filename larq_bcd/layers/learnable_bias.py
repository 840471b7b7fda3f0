import tensorflow as tf

from larq_bcd._fused import fused
from larq_bcd.layers import _checks
from larq_bcd.layers._layer import Layer


@fused
def _sum_per_channel(upstream):
    total = tf.reduce_sum(tf.cast(upstream, tf.float32), list(range(upstream.shape.rank - 1)))
    return tf.cast(total, upstream.dtype)


@tf.custom_gradient
def _plus(inputs, bias):
    return inputs + bias, lambda upstream: (upstream, _sum_per_channel(upstream))


@tf.keras.utils.register_keras_serializable("larq_bcd")
class LearnableBias(Layer):
    """Adds one learned value to each channel.

    Before a sign it is the (negative) threshold of that sign. Input and output are NHWC,
    `(batch, height, width, channels)`, of the layer's compute dtype.

    Source: ReActNet (arXiv 2003.03488), the "ReAct" shift.

    Args:
        initializer: initializer of the bias, of shape `(channels,)`.
        regularizer: regularizer of the bias.
        constraint: constraint of the bias.
        data_format: `"channels_last"`.

    Raises:
        ValueError: if the data format is not NHWC or the channels are not known.

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.layers import LearnableBias
        >>> bias = LearnableBias(initializer="ones")
        >>> bias(tf.zeros((1, 14, 14, 32))).shape, bias.bias.shape
        (TensorShape([1, 14, 14, 32]), TensorShape([32]))
    """

    saved = ("initializer", "regularizer", "constraint", "data_format")

    def __init__(
        self,
        initializer="zeros",
        regularizer=None,
        constraint=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.initializer = tf.keras.initializers.get(initializer)
        self.regularizer = tf.keras.regularizers.get(regularizer)
        self.constraint = tf.keras.constraints.get(constraint)
        self.data_format = _checks.channels_last(type(self).__name__, data_format)

    def build(self, input_shape):
        self.bias = self.add_weight(
            name="bias",
            shape=(_checks.channels(type(self).__name__, input_shape),),
            initializer=self.initializer,
            regularizer=self.regularizer,
            constraint=self.constraint,
        )
        super().build(input_shape)

    def call(self, inputs, training=None):
        bias = tf.convert_to_tensor(self.bias)
        return _plus(inputs, bias) if training is True else inputs + bias
