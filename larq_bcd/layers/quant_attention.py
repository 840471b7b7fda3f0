import larq as lq
import tensorflow as tf

from larq_bcd.layers import _checks
from larq_bcd.layers._layer import Layer
from larq_bcd.layers._quantizers import with_policy


@tf.keras.utils.register_keras_serializable("larq_bcd")
class QuantAttention(Layer):
    r"""Attention of several heads whose queries, keys, values and probabilities are binary.

    \\[ P = \mathrm{softmax}(d^{-1/2} \, \mathrm{sign}(q) \, \mathrm{sign}(k)^T), \qquad
        y = s \, \mathrm{clip}(\mathrm{round}(P / s), 0, 1) \; \mathrm{sign}(v) \\]

    for each head of \\(d\\) channels, over all positions of the image. The scale \\(s\\) of
    the probabilities is learned; backward, rounding is the identity. Both products are of
    two activations: Larq Compute Engine has no binary operator for them and runs them in
    float.

    Takes `[q, k, v]`, each real-valued NHWC of the same shape
    `(batch, height, width, channels)`, and returns that shape, of the layer's compute dtype.

    A reconstruction: DyBinaryCCT (arXiv 2211.02292) binarizes its attention, but its
    equations were not at hand.

    Args:
        heads: number of heads.
        input_quantizer: quantizer of queries, keys and values; `None` leaves them, and the
            probabilities, real.
        scale_initializer: initializer of the scale `s` of the probabilities; the default is
            a constant 0.005.

    Raises:
        ValueError: if the channels do not divide by the heads.

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.layers import QuantAttention
        >>> layer = QuantAttention(heads=4)
        >>> q, k, v = tf.random.normal((3, 1, 7, 7, 32))
        >>> layer([q, k, v]).shape
        TensorShape([1, 7, 7, 32])
        >>> layer.attention([q, k, v]).shape
        TensorShape([1, 4, 49, 49])
    """

    saved = ("heads", "input_quantizer", "scale_initializer")

    def __init__(self, heads, input_quantizer="approx_sign", scale_initializer=None, **kwargs):
        super().__init__(**kwargs)
        self.heads = _checks.positive_integer(self.name, "heads", heads)
        self.input_quantizer = with_policy(
            lq.quantizers.get(input_quantizer), self.dtype_policy.name
        )
        if scale_initializer is None:
            scale_initializer = tf.keras.initializers.Constant(0.005)
        self.scale_initializer = tf.keras.initializers.get(scale_initializer)

    def build(self, input_shape):
        channels = _checks.channels(self.name, input_shape[0])
        _checks.divisible_channels(self.name, channels, self.heads, "heads")
        self.head_channels = channels // self.heads
        if self.input_quantizer is not None:
            self.scale = self.add_weight(
                name="scale", shape=(), initializer=self.scale_initializer
            )
        super().build(input_shape)

    def _by_head(self, tensor):
        """Tokens of each head, `(batch, heads, positions, head_channels)`."""
        tokens = tf.reshape(tensor, (-1, _positions(tensor), self.heads, self.head_channels))
        return tf.transpose(tokens, (0, 2, 1, 3))

    def _factors(self, inputs):
        """Queries, keys and values, binary, by head."""
        if self.input_quantizer is not None:
            # All of them at once, one operator to the engine.
            inputs = tf.split(self.input_quantizer(tf.concat(inputs, -1)), 3, axis=-1)
        return [self._by_head(tensor) for tensor in inputs]

    def _probabilities(self, query, key):
        scores = tf.matmul(query, key, transpose_b=True)
        probabilities = tf.nn.softmax(scores * self.head_channels**-0.5)
        if self.input_quantizer is None:
            return probabilities
        scale = tf.abs(self.scale)
        clipped = tf.clip_by_value(probabilities / scale, 0.0, 1.0)
        return scale * (clipped + tf.stop_gradient(tf.round(clipped) - clipped))

    def attention(self, inputs):
        """Returns the probabilities, `(batch, heads, positions, positions)`."""
        query, key, _ = self._factors(inputs)
        return self._probabilities(query, key)

    def call(self, inputs):
        query, key, value = self._factors(inputs)
        attended = tf.matmul(self._probabilities(query, key), value)
        return tf.reshape(tf.transpose(attended, (0, 2, 1, 3)), tf.shape(inputs[2]))

    def compute_output_shape(self, input_shape):
        return tf.TensorShape(input_shape[2])


def _positions(tensor):
    height, width = tensor.shape[1:3]
    if height is None or width is None:
        return tf.shape(tensor)[1] * tf.shape(tensor)[2]
    return height * width
