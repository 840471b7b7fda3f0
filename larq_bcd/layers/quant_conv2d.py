import enum

import larq as lq
import tensorflow as tf

from larq_bcd._shown import line
from larq_bcd.layers import _binary_convolution as binary_convolution
from larq_bcd.layers import _checks, _quantizers


class _Padding(enum.Enum):
    """Where the image of a convolution is padded. All of them compute the same."""

    OPERATOR = "by the convolution itself"
    BEFORE_SIGN = "before the sign, which keeps a 1 and a -1"
    AFTER_QUANTIZER = "between the quantizer and the convolution"
    LENGTHENED = "by the convolution itself, of an image that is lengthened and cut off again"


# TensorFlow's CPU kernels have no gradient of a grouped convolution; XLA's have.
_grouped_convolution = tf.function(tf.nn.convolution, jit_compile=True)


@tf.keras.utils.register_keras_serializable("larq_bcd")
class QuantConv2D(lq.layers.QuantConv2D):
    r"""larq's `QuantConv2D` with one more padding, `"symmetric"`.

    `padding="symmetric"` adds \\(d (k - 1) / 2\\) rows or columns on every side, for kernel
    size \\(k\\) and dilation \\(d\\), as the PyTorch networks do. Unlike `"same"`, which has
    the same output size, it does so at every stride. It keeps the convolution one that
    Larq Compute Engine sees as binary, which forbids a padding between sign and convolution:

    - `pad_values` of 1 and -1 are padded before the sign, which keeps them.
    - With a `pad_values` of 0, the image gets one more row and column whose values are never
      used. The engine's own zero padding is symmetric then, and the last output row and
      column are cut off.

    Both are so where the convolution's own `input_quantizer` takes the sign. Behind a sign that
    is a layer, as `RSign` and `DySign`, `pad_values=1.0` stays binary, and zeros at a stride of
    2 ship as float.

    Input `(batch, height, width, channels)`, output `(batch, new_height, new_width,
    filters)`, of the layer's compute dtype. The arguments are larq's.

    Raises:
        ValueError: for NCHW; with symmetric padding, for a kernel of even size, or one that
            is too large for its stride to be padded with zeros and stay binary.

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.layers import QuantConv2D
        >>> signs = {"input_quantizer": "approx_sign", "kernel_quantizer": "scaled_sign"}
        >>> conv = QuantConv2D(64, 3, strides=2, padding="symmetric", use_bias=False, **signs)
        >>> conv(tf.random.normal((1, 14, 14, 32))).shape
        TensorShape([1, 7, 7, 64])
    """

    __repr__ = line

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        pad_values=0.0,
        data_format=None,
        dilation_rate=(1, 1),
        groups=1,
        activation=None,
        use_bias=True,
        input_quantizer=None,
        kernel_quantizer=None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        self._symmetric = isinstance(padding, str) and padding.lower() == "symmetric"
        with _quantizers.unclipped_latent_weights():
            super().__init__(
                filters,
                kernel_size,
                strides=strides,
                padding="same" if self._symmetric else padding,
                pad_values=pad_values,
                data_format=data_format,
                dilation_rate=dilation_rate,
                groups=groups,
                activation=activation,
                use_bias=use_bias,
                input_quantizer=input_quantizer,
                kernel_quantizer=kernel_quantizer,
                kernel_initializer=kernel_initializer,
                bias_initializer=bias_initializer,
                kernel_regularizer=kernel_regularizer,
                bias_regularizer=bias_regularizer,
                activity_regularizer=activity_regularizer,
                kernel_constraint=kernel_constraint,
                bias_constraint=bias_constraint,
                **kwargs,
            )
        _checks.channels_last(type(self).__name__, self.data_format)
        for name in ("input_quantizer", "kernel_quantizer"):
            quantizer = getattr(self, name)
            setattr(self, name, _quantizers.with_policy(quantizer, self.dtype_policy.name))
        if self._symmetric and any(size % 2 == 0 for size in self.kernel_size):
            raise ValueError(
                f"{self.name}: kernel_size={self.kernel_size} cannot be padded equally on "
                "both sides: use odd sizes, or padding='same'."
            )

    def __call__(self, inputs, *args, **kwargs):
        _quantizers.warn_of_no_gradient(self, self.input_quantizer, inputs)
        return super().__call__(inputs, *args, **kwargs)

    def build(self, input_shape):
        # Past larq's, which sets another padding meanwhile and keeps it if Keras refuses.
        tf.keras.layers.Conv2D.build(self, input_shape)
        self._padded = self._padding_plan()

    def _padding_plan(self) -> _Padding:
        zeros = not tf.is_tensor(self.pad_values) and self.pad_values == 0.0
        # At stride 1, "same" is symmetric already.
        if not self._symmetric or self.strides == (1, 1):
            native = self.padding == "valid" or zeros
            return _Padding.OPERATOR if native else _Padding.AFTER_QUANTIZER
        if isinstance(self.input_quantizer, _quantizers.SIGNS) and abs(self.pad_values) == 1:
            return _Padding.BEFORE_SIGN
        if self.input_quantizer and zeros:
            return _Padding.LENGTHENED
        return _Padding.AFTER_QUANTIZER

    def call(self, inputs, training=None):
        if training is True and self._is_binary() and binary_convolution.supported(inputs):
            return self._convolved_in_integers(self._quantized(inputs))
        if self._padded is _Padding.OPERATOR:
            return self._convolved(self._quantized(inputs), self.padding)
        if self._padded is _Padding.BEFORE_SIGN:
            return self._convolved(self._quantized(self._with_margins(inputs)), "valid")
        if self._padded is _Padding.LENGTHENED and inputs.shape[1:3].is_fully_defined():
            return self._convolved_lengthened(inputs)
        return self._convolved(self._with_margins(self._quantized(inputs)), "valid")

    def _is_binary(self) -> bool:
        """Whether input and kernel are signs, those of a kernel with one scale per filter."""
        return (
            type(self.input_quantizer) in _quantizers.PLAIN_SIGNS
            and type(self.kernel_quantizer) in _quantizers.KERNEL_SIGNS
            and abs(self.pad_values) in (0.0, 1.0)
            and self.groups == 1
            and self.dilation_rate == (1, 1)
        )

    def _quantized(self, inputs):
        return self.input_quantizer(inputs) if self.input_quantizer else inputs

    def _quantized_kernel(self):
        with lq.context.quantized_scope(True):
            return tf.convert_to_tensor(self.kernel)

    def _margins(self, image) -> list[tuple]:
        """Rows before and after an image, and columns, that the padding adds."""
        if self.padding == "valid":
            return [(0, 0), (0, 0)]
        if not self._symmetric:
            return self._get_spatial_padding_same(image)
        sizes = zip(self.kernel_size, self.dilation_rate, strict=True)
        return [(dilation * (size - 1) // 2,) * 2 for size, dilation in sizes]

    def _with_margins(self, image):
        size = image.shape[1:3]
        margins = self._margins(size if size.is_fully_defined() else tf.shape(image)[1:3])
        return tf.pad(image, [[0, 0], *margins, [0, 0]], constant_values=self.pad_values)

    def _convolved(self, inputs, padding: str):
        convolution = tf.nn.convolution if self.groups == 1 else _grouped_convolution
        outputs = convolution(
            inputs,
            self._quantized_kernel(),
            list(self.strides),
            padding.upper(),
            dilations=list(self.dilation_rate),
            name=type(self).__name__,
        )
        return self._biased_and_activated(outputs)

    def _convolved_lengthened(self, inputs):
        """The "same" convolution of an image of a size at which that is symmetric.

        For strides above 1, with which Keras allows no dilation.
        """
        image = inputs.shape[1:3].as_list()
        missing = [self._missing(size, axis) for axis, size in enumerate(image)]
        longer = tf.pad(inputs, [[0, 0], *([0, more] for more in missing), [0, 0]])
        outputs = self._convolved(self._quantized(longer), "same")
        rows, columns = (
            -(-size // stride) for size, stride in zip(image, self.strides, strict=True)
        )
        return outputs[:, :rows, :columns, :]

    def _missing(self, size: int, axis: int) -> int:
        """Rows or columns after which "same" is symmetric."""
        stride, margin = self.strides[axis], self.kernel_size[axis] // 2
        missing = (1 - size) % stride
        if missing and (size - 1) // stride * stride + margin >= size:
            raise ValueError(
                f"{self.name}: kernel_size={self.kernel_size} with strides={self.strides} "
                "cannot be padded symmetrically with pad_values=0.0 on an image of size "
                f"{size} and stay binary: use pad_values=1.0, a smaller kernel, or an image "
                f"of size {size + missing}."
            )
        return missing

    def _convolved_in_integers(self, signs):
        pads = tuple(self._margins(signs.shape[1:3]))
        outputs = binary_convolution.binary_convolution(
            signs, self._quantized_kernel(), self.strides, pads, self.pad_values
        )
        return self._biased_and_activated(outputs)

    def _biased_and_activated(self, outputs):
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    def get_config(self):
        padding = {"padding": "symmetric"} if self._symmetric else {}
        return {**super().get_config(), **padding}
