"""Activation functions of binary networks."""

import tensorflow as tf

from larq_bcd.layers import _checks

__all__ = ["RPReLU"]


@tf.keras.utils.register_keras_serializable("larq_bcd")
class RPReLU(tf.keras.layers.Layer):
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
    """

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
        """Creates the slope and the biases."""
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

    def call(self, inputs):
        """Returns the activations."""
        shifted = inputs + self.bias_before
        # Spelled, and the slope shaped, as in Keras' PReLU: one operator to the converter.
        slope = tf.reshape(self.slope, (1, 1, -1))
        activated = tf.nn.relu(shifted) + -slope * tf.nn.relu(-shifted)
        return activated + self.bias_after

    def compute_output_shape(self, input_shape):
        """Returns the input shape."""
        return tf.TensorShape(input_shape)

    def get_config(self):
        """Returns the arguments that rebuild this layer."""
        return {
            **super().get_config(),
            "slope_initializer": tf.keras.initializers.serialize(self.slope_initializer),
            "bias_initializer": tf.keras.initializers.serialize(self.bias_initializer),
            "data_format": self.data_format,
        }
