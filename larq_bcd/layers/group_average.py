import tensorflow as tf

from larq_bcd.layers import _checks
from larq_bcd.layers._layer import Layer


@tf.keras.utils.register_keras_serializable("larq_bcd")
class GroupAverage(Layer):
    """Mean of equal groups of consecutive channels, the shortcut to fewer channels.

    It undoes a repetition of the channels. Input `(batch, height, width, channels)`, output
    `(batch, height, width, channels / groups)`, of the layer's compute dtype.

    Args:
        groups: number of groups.

    Raises:
        ValueError: if the groups are not a positive integer, or if the channels are not known
            or do not divide by them.

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.layers import GroupAverage
        >>> x = tf.constant([[[[1.0, 2.0, 3.0, 4.0]]]])  # one pixel of four channels
        >>> GroupAverage(2)(x).numpy()
        array([[[[2., 3.]]]], dtype=float32)
    """

    saved = ("groups",)

    def __init__(self, groups, **kwargs):
        super().__init__(**kwargs)
        self.groups = _checks.positive_integer(self.name, "groups", groups)

    def build(self, input_shape):
        channels = _checks.channels(self.name, input_shape)
        _checks.divisible_channels(self.name, channels, self.groups, "groups")
        super().build(input_shape)

    def call(self, inputs):
        return tf.add_n(tf.split(inputs, self.groups, axis=-1)) / self.groups

    def compute_output_shape(self, input_shape):
        *image, channels = tf.TensorShape(input_shape).as_list()
        return tf.TensorShape([*image, channels // self.groups])
