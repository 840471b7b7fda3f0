import tensorflow as tf

from larq_bcd._fused import fused
from larq_bcd.layers import _checks
from larq_bcd.layers._layer import Layer

_GROUPS = 4


def _shifted(x, rows, columns):
    down, up, right, left = tf.split(x, _GROUPS, axis=-1)
    return tf.concat(
        [
            tf.roll(down, rows, axis=1),
            tf.roll(up, -rows, axis=1),
            tf.roll(right, columns, axis=2),
            tf.roll(left, -columns, axis=2),
        ],
        axis=-1,
    )


_fused_shifted = fused(_shifted)


@tf.keras.utils.register_keras_serializable("larq_bcd")
class SpatialShift(Layer):
    """Shifts four equal groups of channels around the image: down, up, right and left.

    The groups are consecutive. What leaves the image at one side enters at the other, as in
    `tf.roll`. Input and output are NHWC, `(batch, height, width, channels)`, of any dtype.

    Source: BCDNet (arXiv 2209.01404), equations 11 to 13.

    Args:
        shift: distance in pixels, or `"half"` for half of the height (for the first two
            groups) and half of the width (for the other two), rounded down.
        data_format: `"channels_last"`.

    Raises:
        ValueError: if the shift is not a positive integer or `"half"`, if it is not smaller
            than the feature map, if the channels do not divide by 4, or for NCHW.

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.layers import SpatialShift
        >>> x = tf.reshape(tf.range(16.0), (1, 2, 2, 4))
        >>> x[0, :, :, 0].numpy()
        array([[ 0.,  4.],
               [ 8., 12.]], dtype=float32)
        >>> SpatialShift(1)(x)[0, :, :, 0].numpy()  # the first group goes down
        array([[ 8., 12.],
               [ 0.,  4.]], dtype=float32)
    """

    saved = ("shift", "data_format")

    def __init__(self, shift=1, data_format=None, **kwargs):
        super().__init__(**kwargs)
        if shift != "half":
            shift = _checks.positive_integer(
                self.name, "shift", shift, " of pixels, or 'half' for half of the feature map"
            )
        self.shift = shift
        self.data_format = _checks.channels_last(type(self).__name__, data_format)

    def build(self, input_shape):
        count = _checks.channels(type(self).__name__, input_shape)
        _checks.divisible_channels(self.name, count, _GROUPS, "the number of shifted groups,")
        super().build(input_shape)

    def _distance(self, inputs, axis: int):
        size = inputs.shape[axis]
        if self.shift == "half":
            return (tf.shape(inputs)[axis] if size is None else size) // 2
        message = (
            f"{self.name}: shift={self.shift} is not smaller than the "
            f"{('height', 'width')[axis - 1]} of the feature map, {size or 'at run time'}: "
            "use a smaller shift, 'half', or a larger feature map (a larger image, or smaller "
            "strides before this layer)."
        )
        if size is None:
            tf.debugging.assert_less(self.shift, tf.shape(inputs)[axis], message)
        elif self.shift >= size:
            raise ValueError(message)
        return self.shift

    def call(self, inputs, training=None):
        rows, columns = self._distance(inputs, 1), self._distance(inputs, 2)
        fixed = training is True and isinstance(rows, int) and isinstance(columns, int)
        if not fixed:
            return _shifted(inputs, rows, columns)

        # Backward what was shifted goes back.
        @tf.custom_gradient
        def shifted(x):
            return _fused_shifted(x, rows, columns), lambda y: _fused_shifted(
                y, -rows, -columns
            )

        return shifted(inputs)
