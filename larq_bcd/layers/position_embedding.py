import tensorflow as tf

from larq_bcd.layers import _checks
from larq_bcd.layers._layer import Layer


@tf.keras.utils.register_keras_serializable("larq_bcd")
class PositionEmbedding(Layer):
    """Adds a learned value to each channel of each position.

    Input and output are NHWC, `(batch, height, width, channels)`, of the layer's compute
    dtype; the image size is that of the first input.

    Source: Compact Convolutional Transformers (arXiv 2104.05704).

    Args:
        initializer: initializer of the values, of shape `(height, width, channels)`; the
            default is a truncated normal distribution of deviation 0.2.

    Raises:
        ValueError: if the image size or the channels are not known.

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.layers import PositionEmbedding
        >>> layer = PositionEmbedding()
        >>> layer(tf.zeros((2, 7, 7, 32))).shape, layer.embedding.shape
        (TensorShape([2, 7, 7, 32]), TensorShape([7, 7, 32]))
    """

    saved = ("initializer",)

    def __init__(self, initializer=None, **kwargs):
        super().__init__(**kwargs)
        if initializer is None:
            initializer = tf.keras.initializers.TruncatedNormal(stddev=0.2)
        self.initializer = tf.keras.initializers.get(initializer)

    def build(self, input_shape):
        _checks.channels(self.name, input_shape)
        shape = tf.TensorShape(input_shape)[1:]
        if not shape.is_fully_defined():
            raise ValueError(
                f"{self.name}: input shape {tuple(input_shape)} is not supported: the "
                "positions are learned; build the network with a fixed height and width."
            )
        self.embedding = self.add_weight(
            name="embedding", shape=shape, initializer=self.initializer
        )
        super().build(input_shape)

    def call(self, inputs):
        return inputs + self.embedding
