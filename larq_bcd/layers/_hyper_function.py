import tensorflow as tf

from larq_bcd.layers import _checks


class HyperFunction:
    r"""Values that an image's channel statistics give: \\(W_2 relu(W_1 GAP(x) + b_1) + b_2\\).

    The hidden values are `channels / reduction`, at least one. The weights belong to the layer.
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
        initializers = self.initializers(channels, hidden)

        def weight(name: str, *shape: int) -> tf.Variable:
            return layer.add_weight(name=name, shape=shape, initializer=initializers[name])

        self.hidden_kernel = weight("hidden_kernel", channels, hidden)
        self.hidden_bias = weight("hidden_bias", hidden)
        self.output_kernel = weight("output_kernel", hidden, outputs)
        self.output_bias = weight("output_bias", outputs)

    def initializers(self, channels: int, hidden: int) -> dict:
        """Returns the initializer of each weight, by which all values start at zero.

        A static network to which the function is added keeps what it computes.
        """
        return {
            "hidden_kernel": "glorot_uniform",
            "hidden_bias": "zeros",
            "output_kernel": "zeros",
            "output_bias": "zeros",
        }

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
