import tensorflow as tf

from larq_bcd.layers import _checks
from larq_bcd.layers._hyper_function import HyperFunction
from larq_bcd.layers._layer import Layer


@tf.keras.utils.register_keras_serializable("larq_bcd")
class DynamicThreshold(Layer):
    r"""Subtracts a threshold of each channel that depends on the image.

    \\[ y = x - (t + g(x)), \qquad g(x) = W_2 \, relu(W_1 GAP(x) + b_1) + b_2 \\]

    \\(t\\) is static, one per channel; \\(g\\) has `channels / reduction` hidden values and
    starts at zero. Before a binary convolution it is the threshold of that convolution's
    sign; `DySign` takes the sign itself. Input and output are NHWC,
    `(batch, height, width, channels)`, of the layer's compute dtype.

    A reconstruction: of *Boosting Binary Neural Networks via Dynamic Thresholds Learning*
    (arXiv 2211.02292) and DyBNN (arXiv 2110.05185) no equations and no code were at hand;
    only that a "hyper function" of channel statistics yields the thresholds is theirs. The
    term is that of Dynamic ReLU (arXiv 2003.10027), whose hyper function is the pooling and
    the two linear layers with a ReLU between that stand here, with bounded outputs there.

    Args:
        reduction: input channels per hidden value.
        initializer: initializer of the static threshold, of shape `(channels,)`.
        data_format: `"channels_last"`.

    Raises:
        ValueError: if the reduction is not a positive integer, the channels are not known, or
            for NCHW.

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.layers import DynamicThreshold
        >>> layer, x = DynamicThreshold(), tf.random.normal((2, 14, 14, 32))
        >>> layer(x).shape
        TensorShape([2, 14, 14, 32])
        >>> layer.thresholds(x).shape  # of each image
        TensorShape([2, 1, 1, 32])
    """

    saved = ("reduction", "initializer", "data_format")

    def __init__(self, reduction=8, initializer="zeros", data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.hyper_function = HyperFunction(self.name, reduction)
        self.reduction = self.hyper_function.reduction
        self.initializer = tf.keras.initializers.get(initializer)
        self.data_format = _checks.channels_last(type(self).__name__, data_format)

    def build(self, input_shape):
        channels = _checks.channels(type(self).__name__, input_shape)
        self.threshold = self.add_weight(
            name="threshold", shape=(channels,), initializer=self.initializer
        )
        self.hyper_function.build(self, input_shape, outputs=channels)
        super().build(input_shape)

    def thresholds(self, inputs):
        """Returns the thresholds `t + g(x)` of an input, `(batch, 1, 1, channels)`."""
        return self.threshold + self.hyper_function(inputs)

    def call(self, inputs):
        return inputs - self.thresholds(inputs)
