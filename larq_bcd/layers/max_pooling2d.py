import tensorflow as tf

from larq_bcd._shown import line
from larq_bcd.layers import _checks


@tf.keras.utils.register_keras_serializable("larq_bcd")
class MaxPooling2D(tf.keras.layers.MaxPooling2D):
    """Keras' `MaxPooling2D` with one more padding, `"symmetric"`.

    `padding="symmetric"` adds half of the window, rounded down, on every side, as the
    PyTorch networks do; what it adds is never the maximum. The windows of `"same"` lie
    elsewhere at stride 2. Input `(batch, height, width, channels)`, output
    `(batch, new_height, new_width, channels)`. The arguments are those of Keras.

    Raises:
        ValueError: for NCHW.

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.layers import MaxPooling2D
        >>> MaxPooling2D(3, strides=2, padding="symmetric")(tf.zeros((1, 14, 14, 32))).shape
        TensorShape([1, 7, 7, 32])
    """

    __repr__ = line

    def __init__(
        self, pool_size=(2, 2), strides=None, padding="valid", data_format=None, **kwargs
    ):
        self._symmetric = isinstance(padding, str) and padding.lower() == "symmetric"
        padding = "valid" if self._symmetric else padding
        data_format = _checks.channels_last(type(self).__name__, data_format)
        super().__init__(pool_size, strides, padding, data_format, **kwargs)

    def _margins(self) -> list[int]:
        return [size // 2 for size in self.pool_size]

    def call(self, inputs):
        if self._symmetric:
            margins = [[0, 0], *([margin, margin] for margin in self._margins()), [0, 0]]
            inputs = tf.pad(inputs, margins, constant_values=inputs.dtype.min)
        return super().call(inputs)

    def compute_output_shape(self, input_shape):
        batch, *image, channels = tf.TensorShape(input_shape).as_list()
        if self._symmetric:
            image = [
                size and size + 2 * margin
                for size, margin in zip(image, self._margins(), strict=True)
            ]
        return super().compute_output_shape((batch, *image, channels))

    def get_config(self):
        padding = {"padding": "symmetric"} if self._symmetric else {}
        return {**super().get_config(), **padding}
