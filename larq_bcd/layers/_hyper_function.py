import tensorflow as tf

from larq_bcd.layers import _checks


class HyperFunction:
    r"""Values that an image's channel statistics give: \\(W_2 relu(W_1 GAP(x) + b_1) + b_2\\).

    The hidden values are `channels / reduction`, at least one. \\(W_2\\) and \\(b_2\\) start
    at zero, so that a static network keeps its function. The weights belong to the layer.
    """

    def __init__(self, layer: str, reduction: int):
        self.layer = layer
        self.reduction = _checks.positive_integer(
            layer, "reduction", reduction, " of channels per hidden value, such as 8"
        )

    def build(self, layer: tf.keras.layers.Layer, input_shape, outputs: int) -> None:
        """Adds the weights to a layer.

        Args:
            layer: the layer.
            input_shape: shape of its NHWC input.
            outputs: number of values.
        """
        channels = _checks.channels(self.layer, input_shape)
        hidden = max(1, channels // self.reduction)
        self.hidden_kernel = layer.add_weight(
            name="hidden_kernel", shape=(channels, hidden), initializer="glorot_uniform"
        )
        self.hidden_bias = layer.add_weight(
            name="hidden_bias", shape=(hidden,), initializer="zeros"
        )
        self.output_kernel = layer.add_weight(
            name="output_kernel", shape=(hidden, outputs), initializer="zeros"
        )
        self.output_bias = layer.add_weight(
            name="output_bias", shape=(outputs,), initializer="zeros"
        )

    @property
    def kernels(self) -> tuple[tf.Variable, tf.Variable]:
        """The two kernels, each of one product per image."""
        return self.hidden_kernel, self.output_kernel

    def __call__(self, inputs):
        """Returns the values, of shape `(batch, 1, 1, outputs)`."""
        pooled = tf.reduce_mean(inputs, axis=(1, 2))
        hidden = tf.nn.relu(tf.matmul(pooled, self.hidden_kernel) + self.hidden_bias)
        values = tf.matmul(hidden, self.output_kernel) + self.output_bias
        return tf.reshape(values, (-1, 1, 1, values.shape[-1]))
