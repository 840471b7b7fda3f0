"""Networks that hypothesis draws over the layers of larq and of Keras."""

from dataclasses import dataclass, field

import larq as lq
import numpy as np
import tensorflow as tf
from conversion_models import randomize
from hypothesis import strategies as st

from larq_bcd.convert import FileOptions
from larq_bcd.layers import LearnableBias

layers = tf.keras.layers
quantizers = lq.quantizers


def two_levels(kernel):
    return tf.where(kernel < 0, -0.25, 0.25)


def rounded_levels(kernel):
    return 0.5 * tf.round(tf.clip_by_value(kernel, 0.0, 1.0)) - 0.25


def cast_levels(kernel):
    return 2.0 * tf.cast(kernel >= 0, tf.float32) - 1.0


def quantized(x):
    return tf.quantization.fake_quant_with_min_max_vars(x, -4.0, 4.0)


def of_four_bits(x):
    return tf.quantization.fake_quant_with_min_max_args(x, -2.0, 2.0, num_bits=4)


def quantized_weights(kernel):
    return tf.quantization.fake_quant_with_min_max_vars(
        kernel, -0.7, 0.7, num_bits=8, narrow_range=True
    )


def quantized_channels(kernel):
    limits = 0.3 + 0.05 * np.arange(kernel.shape[-1], dtype=np.float32)
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(
        kernel, -limits, limits, narrow_range=True
    )


# What makes a kernel plus or minus one scale for each output channel, and what does not.
BINARY_KERNELS = {
    "ste_sign": lambda: "ste_sign",
    "approx_sign": lambda: "approx_sign",
    "swish_sign": lambda: "swish_sign",
    "magnitude_aware_sign": lambda: "magnitude_aware_sign",
    "scaled_sign": lambda: "scaled_sign",
    "DoReFa(1)": lambda: quantizers.DoReFa(1, "weights"),
    "two_levels": lambda: two_levels,
    "rounded_levels": lambda: rounded_levels,
    "cast_levels": lambda: cast_levels,
}
SIGNS = ("ste_sign", "approx_sign", "swish_sign")
# Quantizers of activations that are no plain sign.
OTHER_INPUTS = {
    "ste_heaviside": lambda: "ste_heaviside",
    "ste_tern": lambda: "ste_tern",
    "magnitude_aware_sign": lambda: "magnitude_aware_sign",
    "DoReFa(1)": lambda: quantizers.DoReFa(1, "activations"),
    "DoReFa(2)": lambda: quantizers.DoReFa(2, "activations"),
}
# What stands between layers, of the same rank after it as before.
BETWEEN = {
    "norm": layers.BatchNormalization,
    "norm_without_gain": lambda: layers.BatchNormalization(scale=False),
    "layer_norm": layers.LayerNormalization,
    "relu": layers.ReLU,
    "relu6": lambda: layers.ReLU(6.0),
    "leaky": layers.LeakyReLU,
    "prelu": lambda: layers.PReLU(shared_axes=[1, 2]),
    "swish": lambda: layers.Activation("swish"),
    "hard_tanh": lambda: layers.Activation(lq.activations.hard_tanh),
    "leaky_tanh": lambda: layers.Activation(lq.activations.leaky_tanh),
    "sigmoid": lambda: layers.Activation("sigmoid"),
    "scale": lambda: lambda x: -0.5 * x,
    "offset": lambda: lambda x: x + 0.1,
    "dropout": lambda: layers.Dropout(0.1),
    "quantized": lambda: quantized,
    "of_four_bits": lambda: of_four_bits,
    "threshold": lambda: lambda x: tf.where(x >= 0.1, tf.ones_like(x), -tf.ones_like(x)),
    "cast": lambda: lambda x: 2.0 * tf.cast(x >= 0.0, tf.float32) - 1.0,
    "rounded": lambda: lambda x: tf.round(2.0 * x) / 2.0,
}
# What needs an image, and changes its size.
OF_IMAGES = {
    "max_pool": lambda: layers.MaxPool2D(2, padding="same"),
    "max_pool_valid": lambda: layers.MaxPool2D(2),
    "max_pool_3": lambda: layers.MaxPool2D(3, 2, padding="same"),
    "mean_pool": lambda: layers.AveragePooling2D(2, padding="same"),
    "zeros_around": lambda: layers.ZeroPadding2D(((1, 0), (2, 1))),
    "cropped": lambda: layers.Cropping2D(((1, 0), (0, 1))),
    "larger": lambda: layers.UpSampling2D(2),
    "rolled": lambda: lambda x: tf.roll(x, 1, 2),
    "permuted": lambda: layers.Permute((2, 1, 3)),
    "halves": lambda: lambda x: tf.concat(tf.split(x, 2, -1)[::-1], -1),
}
_LARGEST, _SMALLEST = 20, 4


@dataclass
class Drawn:
    """A network, and what is to become of it.

    Attributes:
        family: of `FAMILIES`.
        parts: what was chosen, in order.
        model: the network.
        binary: layers that ship as binary convolutions.
        unsupported: layers that train as binary, for which the engine has no operator.
        options: of the file.
    """

    family: str
    parts: list[str] = field(default_factory=list)
    model: tf.keras.Model | None = None
    binary: set[str] = field(default_factory=set)
    unsupported: set[str] = field(default_factory=set)
    options: FileOptions = field(default_factory=FileOptions)

    def __repr__(self) -> str:
        return f"{self.family}: {', '.join(self.parts)}"


class _Drawing:
    """Chooses one part after the other."""

    def __init__(self, draw, family: str):
        self._draw = draw
        self.result = Drawn(family)
        self._count = 0

    def chosen(self, choices, note: str | None = None):
        """One of some values; the name `note` is put before it in what was chosen."""
        found = self._draw(st.sampled_from(list(choices)))
        if note is not None:
            self.result.parts.append(f"{note} {found}" if note else str(found))
        return found

    def number(self, least: int, most: int) -> int:
        return self._draw(st.integers(least, most))

    def named(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"

    def image(self, sizes=((13, 12, 3), (8, 8, 3), (5, 7, 1), (16, 9, 4)), **options):
        return tf.keras.Input(self.chosen(sizes, "image"), **options)

    def stem(self, x):
        """A real convolution, of which the channels are many enough."""
        filters = self.chosen([32, 64, 40], "stem")
        return layers.Conv2D(filters, self.chosen([3, 1]), name=self.named("stem"))(x)

    def convolution(self, x, supported: bool = True):
        """A binary convolution of larq, with any of its options."""
        height, width, channels = x.shape[1:]
        dilation = self.chosen([1, 1, 1, 2, (1, 2)])
        strides = self.chosen([1, 1, 2, (2, 1)]) if dilation == 1 else 1
        padding = self.chosen(["same", "valid"])
        sizes = [3, 1, 2, 5, (1, 3), (3, 2)]
        if padding == "valid":
            sizes = [size for size in sizes if _fits(size, dilation, (height, width))] or [1]
        groups = [1, 1, 1, 2] if channels % 64 == 0 else [1]
        options = {
            "kernel_size": self.chosen(sizes),
            "strides": strides,
            "dilation_rate": dilation,
            "padding": padding,
            "pad_values": self.chosen([1.0, 0.0]),
            "groups": self.chosen(groups),
            "use_bias": self.chosen([False, True]),
            "activation": self.chosen([None, None, "relu"]),
        }
        filters = self.chosen([32, 8, 40, 64])
        quantizer = self.chosen(sorted(BINARY_KERNELS))
        sign = self.chosen(SIGNS)
        name, given = self.named("conv"), sign
        if not supported:
            name, sign = self.named("other"), self.chosen(sorted(OTHER_INPUTS))
            given = OTHER_INPUTS[sign]()
        self.result.parts.append(f"{name} {filters} {sign} {quantizer} {options}")
        expected = self.result.binary if supported else self.result.unsupported
        expected.add(name)
        return lq.layers.QuantConv2D(
            filters,
            input_quantizer=given,
            kernel_quantizer=BINARY_KERNELS[quantizer](),
            name=name,
            **options,
        )(x)

    def real(self, x):
        """A layer of Keras with a real kernel."""
        size = self.chosen([1, 3])
        kind = self.chosen(["conv", "depthwise", "separable", "transposed", "dense"], "real")
        make = {
            "conv": lambda: layers.Conv2D(32, size, padding="same", activation="relu"),
            "depthwise": lambda: layers.DepthwiseConv2D(size, padding="same"),
            "separable": lambda: layers.SeparableConv2D(32, size, padding="same"),
            "transposed": lambda: layers.Conv2DTranspose(32, size, padding="same"),
            "dense": lambda: layers.Dense(32),
        }
        return make[kind]()(x)

    def without_operator(self, x):
        """A binary layer of larq that the engine has no operator for."""
        kind = self.chosen(["depthwise", "separable", "transposed", "local", "conv"])
        if kind == "conv":
            return self.convolution(x, supported=False)
        name = self.named(kind)
        sign, kernel = self.chosen(SIGNS), self.chosen(["ste_sign", "magnitude_aware_sign"])
        self.result.parts.append(f"{name} {sign} {kernel}")
        self.result.unsupported.add(name)
        if kind == "separable":
            self.result.unsupported.add(f"{name}/pointwise_kernel")
            return lq.layers.QuantSeparableConv2D(
                16,
                3,
                padding="same",
                input_quantizer=sign,
                depthwise_quantizer="ste_sign",
                pointwise_quantizer="ste_sign",
                name=name,
            )(x)
        if kind == "depthwise":
            return lq.layers.QuantDepthwiseConv2D(
                3, padding="same", input_quantizer=sign, depthwise_quantizer=kernel, name=name
            )(x)
        both = {"input_quantizer": sign, "kernel_quantizer": kernel, "name": name}
        if kind == "transposed":
            return lq.layers.QuantConv2DTranspose(16, 3, padding="same", **both)(x)
        return lq.layers.QuantLocallyConnected2D(8, 2, implementation=2, **both)(x)

    def between(self, x, most: int = 3, without=()):
        """Some of what stands between layers."""
        for _ in range(self.number(0, most)):
            names = [*BETWEEN, *OF_IMAGES]
            if max(x.shape[1:3]) > _LARGEST // 2:
                names.remove("larger")
            if min(x.shape[1:3]) < _SMALLEST:
                names = [n for n in names if n not in ("max_pool_valid", "cropped")]
            name = self.chosen([n for n in names if n not in without], "")
            x = (BETWEEN | OF_IMAGES)[name]()(x)
        return x

    def joined(self, x, shortcut):
        """A layer's result, with what the layer was given or without it."""
        if x.shape[1:] == shortcut.shape[1:]:
            kind = self.chosen(["add", "alone", "concat", "multiply"], "join")
        elif x.shape[1:3] == shortcut.shape[1:3] and x.shape[-1] < 128:
            kind = self.chosen(["alone", "concat"], "join")
        else:
            return x
        make = {"add": layers.Add, "concat": layers.Concatenate, "multiply": layers.Multiply}
        return x if kind == "alone" else make[kind]()([x, shortcut])

    def head(self, x, name: str):
        """An output, of features or of classes."""
        kinds = ["mean", "flat", "binary", "features", "sign", "softmax"]
        kind = self.chosen(kinds, "head")
        if kind == "features":
            return layers.BatchNormalization(name=name)(x)
        if kind == "sign":
            return quantizers.SteSign(name=name)(x)
        x = layers.Flatten()(x) if kind == "flat" else layers.GlobalAveragePooling2D()(x)
        if kind == "binary":
            self.result.options = FileOptions(dense_as_convolution=True)
            self.result.binary.add(name)
            sign = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
            return lq.layers.QuantDense(6, name=name, **sign)(x)
        return layers.Dense(5, activation=kind if kind == "softmax" else None, name=name)(x)

    def finished(self, inputs, outputs) -> Drawn:
        """The network, with weights as after training and gains of every sign."""
        seed = self.number(0, 99)
        self.result.parts.append(f"weights {seed}")
        model = randomize(tf.keras.Model(inputs, outputs), seed)
        rng = np.random.default_rng(seed)
        for layer in model.submodules:
            if isinstance(layer, layers.BatchNormalization) and layer.scale:
                odds = {"p": [0.4, 0.2, 0.35, 0.05]}
                layer.gamma.assign(rng.choice([1.0, 0.6, -0.7, 0.0], layer.gamma.shape, **odds))
        self.result.model = model
        return self.result


def _fits(size, dilation, image) -> bool:
    sizes, rates = (v if isinstance(v, tuple) else (v, v) for v in (size, dilation))
    return all(
        1 + (n - 1) * rate <= most for n, rate, most in zip(sizes, rates, image, strict=True)
    )


def _images(d: _Drawing) -> Drawn:
    """Binary and real layers, one after the other, with shortcuts."""
    image = d.image(batch_size=d.chosen([None, None, 1, 4], "batch"))
    x = d.stem(image)
    for _ in range(d.number(1, 4)):
        before = x
        x = d.real(x) if d.chosen([False, False, False, True]) else d.convolution(x)
        x = d.joined(d.between(x), before)
    return d.finished(image, d.head(x, "output"))


def _small_images(d: _Drawing) -> Drawn:
    """Windows that are larger than the image."""
    size = d.chosen([1, 2, 3], "image"), d.chosen([2, 1, 3, 5])
    image = tf.keras.Input((*size, d.chosen([32, 3, 64])))
    x = image
    for _ in range(d.number(1, 3)):
        x = d.between(d.convolution(x), 1, without=("max_pool_valid", "cropped"))
    return d.finished(image, d.head(x, "output"))


def _packed(d: _Drawing) -> Drawn:
    """Convolutions that hand on signs, with norms and pools of maxima between them."""
    image = d.image()
    x = d.stem(image)
    for _ in range(d.number(2, 4)):
        x = d.convolution(x)
        for kind in d.chosen([("norm",), (), ("norm", "max_pool"), ("max_pool", "norm")], ""):
            x = (BETWEEN | OF_IMAGES)[kind]()(x)
    if d.chosen([False, True], "signs at the end"):
        return d.finished(image, quantizers.SteSign(name="output")(x))
    return d.finished(image, d.head(x, "output"))


def _several(d: _Drawing) -> Drawn:
    """Several inputs and outputs, in any order."""
    left, right = (d.image(name=name) for name in ("left", "right"))
    shared = d.chosen([True, False], "siamese") and left.shape == right.shape
    inputs, features = [left, right], []
    if shared:
        inner = tf.keras.Input(left.shape[1:])
        tower = tf.keras.Model(inner, d.convolution(d.stem(inner)), name="tower")
        d.result.binary = {f"tower/{name}" for name in d.result.binary}
        d.result.binary |= {f"{name} (call 2)" for name in d.result.binary}
        features += [tower(left), tower(right)]
    else:
        features += [d.convolution(d.stem(x)) for x in (left, right)]
    vectors = [layers.GlobalAveragePooling2D()(x) for x in features]
    extra = d.chosen(["none", "vector", "words", "scalar"], "third input")
    if extra != "none":
        dtype = "int32" if extra == "words" else None
        size = {"vector": (7,), "words": (4,), "scalar": (1,)}[extra]
        third = tf.keras.Input(size, name="third", dtype=dtype)
        inputs.append(third)
        vectors.append(
            layers.Flatten()(layers.Embedding(11, 3)(third)) if extra == "words" else third
        )
    joined = layers.Concatenate()(vectors)
    outputs = [
        layers.Dense(3, name="b")(joined),
        layers.Dense(3, activation="softmax", name="a")(joined),
        layers.Dense(3, name="c")(layers.Dense(8, activation="tanh")(joined)),
        d.head(features[0], "features"),
    ]
    order = d.chosen(
        [[0], [1, 0], [0, 1, 2], [2, 1, 0], [3, 0], [0, 3, 1], [1, 3, 2, 0]], "outputs"
    )
    if 3 not in order:
        d.result.binary.discard("features")
    turned = d.chosen([False, True], "inputs turned")
    return d.finished(inputs[::-1] if turned else inputs, [outputs[n] for n in order])


def _sequences(d: _Drawing) -> Drawn:
    """Recurrent layers and 1-D convolutions, on numbers or on words, of any batch."""
    batch = d.chosen([None, 1, 3], "batch")
    if d.chosen([False, True], "words"):
        start = tf.keras.Input((6,), batch, dtype=d.chosen(["int32", "float32"]))
        x = layers.Embedding(13, 8)(start)
    else:
        start = tf.keras.Input((6, 5), batch)
        x = start
    for _ in range(d.number(1, 2)):
        kind = d.chosen(["LSTM", "GRU", "SimpleRNN", "Conv1D", "QuantConv1D"], "")
        if kind == "QuantConv1D":
            sign = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
            name = d.named("rows")
            d.result.unsupported.add(name)
            x = lq.layers.QuantConv1D(8, 3, padding="same", name=name, **sign)(x)
        elif kind == "Conv1D":
            x = layers.Conv1D(8, 3, padding=d.chosen(["same", "causal"]))(x)
        else:
            layer = getattr(layers, kind)(
                4, return_sequences=True, unroll=d.chosen([False, True], "unroll")
            )
            both = d.chosen([False, False, True], "both directions")
            x = layers.Bidirectional(layer)(x) if both else layer(x)
    if d.chosen([False, True], "binary"):
        d.result.parts.append("image of the sequence")
        x = d.convolution(layers.Reshape((6, x.shape[-1], 1))(x))
    return d.finished(start, layers.Dense(3, name="output")(layers.Flatten()(x)))


def _integers(d: _Drawing) -> Drawn:
    """Networks that train for int8, of weights with one scale or one for each channel."""
    d.result.options = FileOptions(
        input_type=d.chosen(["float32", "int8"], "in"),
        output_type=d.chosen(["float32", "int8"], "out"),
    )
    image = d.image(name="image")
    weights = d.chosen([quantized_weights, quantized_channels])
    d.result.parts.append(weights.__name__)

    def convolution(x):
        kind = d.chosen(["conv", "depthwise"], "real")
        if kind == "depthwise":
            layer = lq.layers.QuantDepthwiseConv2D(
                3, padding="same", depthwise_quantizer=quantized_weights
            )
        else:
            layer = lq.layers.QuantConv2D(32, 3, padding="same", kernel_quantizer=weights)
        x = layer(x)
        if d.chosen([True, False], "norm"):
            x = layers.BatchNormalization()(x)
        return quantized(layers.ReLU()(x) if d.chosen([False, True], "relu") else x)

    x = convolution(quantized(image))
    for _ in range(d.number(1, 3)):
        before = x
        x = d.convolution(x) if d.chosen([True, True, False]) else convolution(x)
        for kind in d.chosen([("norm",), (), ("norm", "max_pool"), ("mean_pool",)], ""):
            x = (BETWEEN | OF_IMAGES)[kind]()(x)
        x = quantized(x)
        joined = d.joined(x, before)
        x = x if joined is x else quantized(joined)
    x = quantized(layers.GlobalAveragePooling2D()(x))
    x = lq.layers.QuantDense(5, kernel_quantizer=quantized_weights, name="logits")(x)
    return d.finished(image, quantized(x))


def _others(d: _Drawing) -> Drawn:
    """Binary layers that the engine has no operator for, among others that it has."""
    image = d.image()
    x = d.stem(image)
    for _ in range(d.number(1, 3)):
        before = x
        x = d.convolution(x) if d.chosen([False, True]) else d.without_operator(x)
        x = d.joined(d.between(x, 1), before)
    return d.finished(image, d.head(x, "output"))


def _volumes(d: _Drawing) -> Drawn:
    """Images of three dimensions."""
    volume = tf.keras.Input(d.chosen([(4, 6, 5, 2), (3, 8, 8, 1)], "volume"))
    x = layers.Conv3D(d.chosen([8, 32], "stem"), 2)(volume)
    names = [n for n in BETWEEN if n not in ("prelu", "dropout", "of_four_bits")]
    for _ in range(d.number(1, 3)):
        kind = d.chosen(["max_pool", "binary", "conv", "none"], "")
        if kind == "binary":
            name = d.named("volume")
            d.result.unsupported.add(name)
            sign = {"input_quantizer": d.chosen(SIGNS), "kernel_quantizer": "ste_sign"}
            x = lq.layers.QuantConv3D(8, 2, padding="same", name=name, **sign)(x)
        elif kind != "none":
            kinds = {
                "max_pool": layers.MaxPool3D(2, padding="same"),
                "conv": layers.Conv3D(8, 2, padding="same"),
            }
            x = kinds[kind](x)
        x = BETWEEN[d.chosen(names, "")]()(x)
    if d.chosen([False, True], "image at the end"):
        _, depth, height, width, channels = x.shape
        x = layers.Reshape((depth * height, width, channels))(x)
        return d.finished(volume, d.head(d.convolution(x), "output"))
    return d.finished(volume, layers.Dense(3, name="output")(layers.Flatten()(x)))


def _vgg(d: _Drawing, x):
    """Convolutions of signs with norms, pools of maxima, and dense layers of signs."""
    for filters in d.chosen([(32, 64), (32, 32, 64)], "widths"):
        for pools in (False, True):
            x = _plain(d, x, filters)
            x = layers.MaxPool2D(2, padding="same")(x) if pools else x
            x = layers.BatchNormalization(momentum=0.999, scale=d.chosen([True, False]))(x)
    sign = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    x = layers.Flatten()(x)
    for units in (32, 10):
        name = d.named("dense")
        d.result.binary.add(name)
        x = layers.BatchNormalization()(lq.layers.QuantDense(units, name=name, **sign)(x))
    d.result.options = FileOptions(dense_as_convolution=True)
    return layers.Activation("softmax")(x)


def _reactnet(d: _Drawing, x):
    """Thresholds, convolutions, norms, shortcuts and shifted PReLUs; two branches widen."""

    def block(x, filters, size, strides=1):
        y = LearnableBias()(x)
        y = layers.BatchNormalization()(_plain(d, y, filters, size, strides))
        shortcut = layers.AveragePooling2D(2, padding="same")(x) if strides == 2 else x
        y = layers.Add()([y, shortcut])
        return LearnableBias()(layers.PReLU(shared_axes=[1, 2])(LearnableBias()(y)))

    for strides in d.chosen([(2, 1), (1,), (1, 2)], "strides"):
        channels = x.shape[-1]
        x = block(x, channels, 3, strides)
        if strides == 2 and channels < 64:
            x = layers.Concatenate()([block(x, channels, 1), block(x, channels, 1)])
        else:
            x = block(x, channels, 1)
    return layers.Dense(10)(layers.GlobalAveragePooling2D()(x))


def _quicknet(d: _Drawing, x):
    """Residual convolutions with a ReLU before the norm, and transitions that blur."""
    for number, filters in enumerate(d.chosen([(32, 64), (64,)], "widths")):
        if number or x.shape[-1] != filters:
            x = layers.ReLU()(x)
            x = layers.MaxPool2D(3, 2, padding="same")(x)
            x = layers.DepthwiseConv2D(3, 1, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization()(layers.Conv2D(filters, 1, use_bias=False)(x))
        for _ in range(2):
            y = _plain(d, x, filters, activation="relu")
            x = layers.Add()([x, layers.BatchNormalization()(y)])
    x = layers.Activation("relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return layers.Activation("softmax", dtype="float32")(layers.Dense(10)(x))


def _densenet(d: _Drawing, x):
    """Every convolution sees all before it."""
    for _ in range(d.number(2, 3)):
        y = _plain(d, layers.BatchNormalization()(x), 32)
        x = layers.Concatenate()([x, y])
    x = layers.MaxPool2D(2)(layers.BatchNormalization()(x))
    x = layers.Conv2D(32, 1, use_bias=False)(layers.ReLU()(x))
    return layers.Dense(10)(layers.GlobalAveragePooling2D()(x))


def _xnornet(d: _Drawing, x):
    """A norm before each convolution of scaled kernels."""
    for filters in d.chosen([(32, 64), (64,)], "widths"):
        x = layers.BatchNormalization()(x)
        x = _plain(d, x, filters, kernel_quantizer="magnitude_aware_sign", activation="relu")
    return layers.Dense(10, name="output")(layers.Flatten()(layers.MaxPool2D(3, 2)(x)))


def _plain(d: _Drawing, x, filters, size=3, strides=1, **options):
    name = d.named("conv")
    d.result.binary.add(name)
    defaults = {
        "padding": "same",
        "pad_values": d.chosen([1.0, 0.0], "pad"),
        "kernel_quantizer": "ste_sign",
        "kernel_constraint": "weight_clip",
        "use_bias": False,
    }
    return lq.layers.QuantConv2D(
        filters, size, strides, input_quantizer="ste_sign", name=name, **defaults | options
    )(x)


def _toys(d: _Drawing) -> Drawn:
    """Small networks of the shapes that were published."""
    kinds = (_vgg, _reactnet, _quicknet, _densenet, _xnornet)
    kind = d.chosen(kinds)
    d.result.parts.append(kind.__name__[1:])
    image = d.image(((16, 16, 3), (12, 12, 3), (9, 11, 1)))
    filters = d.chosen([32, 64], "width")
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name="stem")(image)
    return d.finished(image, kind(d, layers.BatchNormalization()(x)))


FAMILIES = {
    "images": _images,
    "small images": _small_images,
    "packed": _packed,
    "several": _several,
    "sequences": _sequences,
    "integers": _integers,
    "others": _others,
    "volumes": _volumes,
    "toys": _toys,
}


@st.composite
def networks(draw, family: str) -> Drawn:
    """A network of a family."""
    return FAMILIES[family](_Drawing(draw, family))
