import tensorflow as tf

from larq_bcd.layers import _checks
from larq_bcd.layers._layer import Layer


@tf.keras.utils.register_keras_serializable("larq_bcd")
class SequencePooling(Layer):
    r"""Mean of all positions, weighted by what they are: \\(\mathrm{softmax}(x w)^T x\\).

    The softmax runs over the positions; a bias would cancel in it. Input NHWC,
    `(batch, height, width, channels)`, output `(batch, channels)`, of the layer's compute
    dtype.

    Source: Compact Convolutional Transformers (arXiv 2104.05704), section 3.2.

    Args:
        kernel_initializer: initializer of `w`, of shape `(channels, 1)`.

    Raises:
        ValueError: if the channels are not known.

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.layers import SequencePooling
        >>> SequencePooling()(tf.random.normal((2, 7, 7, 32))).shape
        TensorShape([2, 32])
    """

    saved = ("kernel_initializer",)

    def __init__(self, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.kernel_initializer = tf.keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        channels = _checks.channels(self.name, input_shape)
        self.kernel = self.add_weight(
            name="kernel", shape=(channels, 1), initializer=self.kernel_initializer
        )
        super().build(input_shape)

    def call(self, inputs):
        channels = inputs.shape[-1]
        tokens = tf.reshape(inputs, (tf.shape(inputs)[0], -1, channels))
        importance = tf.nn.softmax(tf.matmul(tokens, self.kernel), axis=1)
        return tf.reshape(tf.matmul(importance, tokens, transpose_a=True), (-1, channels))

    def compute_output_shape(self, input_shape):
        shape = tf.TensorShape(input_shape)
        return tf.TensorShape([shape[0], shape[-1]])
