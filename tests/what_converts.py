"""What of larq and Keras converts, and how: examples that tests convert, and their table.

python tests/what_converts.py README.md
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import larq_bcd  # noqa: F401  (settles Keras before other modules import larq)

# isort: split

import larq as lq
import tensorflow as tf

from larq_bcd.convert import FileOptions
from larq_bcd.layers import DynamicThresholdQuantConv2D, QuantShiftMLP, SpatialShift

layers = tf.keras.layers
SIGNS = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
START, END = "<!-- what converts -->", "<!-- /what converts -->"
BINARY, FLOAT, NOTED = "binary", "float, an error by default", "float, with a note"
REFUSED = "nothing: it is refused"


@dataclass(frozen=True)
class Row:
    """Layers, or an arrangement of layers, and what becomes of them.

    Attributes:
        what: in words.
        becomes: `BINARY`, `FLOAT`, `NOTED` or `REFUSED`.
        examples: each takes 64 channels of 8x8 pixels, and the name of the layer that it is an
            example of.
        reason: a part of what the report says of it.
        options: of the file.
        brief: the same where there is less room; empty where it has to be left out.
    """

    what: str
    becomes: str
    examples: tuple[Callable, ...]
    reason: str = ""
    options: FileOptions = field(default_factory=FileOptions)
    brief: str = ""


@dataclass(frozen=True)
class Whole:
    """A kind of model.

    Attributes:
        what: in words.
        becomes: what the file has.
        build: makes one.
        options: of the file.
    """

    what: str
    becomes: str
    build: Callable[[], tf.keras.Model]
    options: FileOptions = field(default_factory=FileOptions)


def _conv(filters=32, size=3, **options):
    """A binary convolution, named when it is used."""
    return lambda x, name: lq.layers.QuantConv2D(
        filters, size, name=name, **{**SIGNS, "use_bias": False, "padding": "same"} | options
    )(x)


def _kind(kind, *arguments, shape=None, **options):
    """A layer of a class, which may take another shape."""

    def build(x, name):
        x = x if shape is None else layers.Reshape(shape)(x)
        return kind(*arguments, name=name, **options)(x)

    return build


def _before(*operations, sign=False, **options):
    """A binary convolution after operations: on what it takes the sign of, or on signs."""

    def build(x, name):
        x = lq.quantizers.SteSign()(x) if sign else x
        for operation in operations:
            x = operation(x)
        if sign:
            options.update(input_quantizer=None)
        return _conv(**options)(x, name)

    return build


def _after(*operations, **options):
    """A binary convolution, operations, and the next one."""

    def build(x, name):
        x = _conv(64, pad_values=1.0, **options)(x, name)
        for operation in operations:
            x = operation(x)
        return _conv(pad_values=1.0)(x, f"{name}_next")

    return build


def _two_levels(kernel):
    return tf.where(kernel < 0, -0.25, 0.25)


def _shared(x, name):
    layer = lq.layers.QuantConv2D(64, 3, padding="same", name=name, **SIGNS)
    return layer(layers.BatchNormalization()(layer(x)))


ROWS = (
    Row(
        "`QuantConv2D` with `ste_sign`, `approx_sign` or `swish_sign` on its input",
        BINARY,
        tuple(
            _conv(input_quantizer=name) for name in ("ste_sign", "approx_sign", "swish_sign")
        ),
        brief="`QuantConv2D` of any window, stride, dilation, padding",
    ),
    Row(
        "kernels of `ste_sign`, `approx_sign`, `swish_sign`, `magnitude_aware_sign`, "
        "`scaled_sign`, `DoReFa(1)`, or of a function of your own that leaves plus or minus "
        "one scale for each output channel",
        BINARY,
        tuple(
            _conv(kernel_quantizer=quantizer)
            for quantizer in (
                "ste_sign",
                "approx_sign",
                "swish_sign",
                "magnitude_aware_sign",
                "scaled_sign",
                lq.quantizers.DoReFa(1, "weights"),
                _two_levels,
            )
        ),
        brief="with or without a scale for each output channel",
    ),
    Row(
        "any window, stride, dilation and number of channels; a bias",
        BINARY,
        (
            _conv(40, (1, 3), use_bias=True),
            _conv(8, 5, strides=2),
            _conv(16, 1, strides=(2, 1), padding="valid"),
            _conv(32, 2, dilation_rate=2),
        ),
    ),
    Row(
        '`padding="valid"`, and `"same"` with `pad_values` of 1 or 0',
        BINARY,
        (
            _conv(padding="valid"),
            _conv(pad_values=1.0),
            _conv(pad_values=0.0),
            _conv(pad_values=0.0, strides=2),
        ),
    ),
    Row(
        "zeros around an image that is smaller than the window, with which Larq Compute Engine "
        "errs",
        BINARY,
        (
            _before(lambda x: layers.MaxPool2D(4)(x)),
            _before(lambda x: layers.MaxPool2D(8)(x), size=5),
        ),
    ),
    Row(
        "groups of a multiple of 32 channels",
        BINARY,
        (_conv(64, groups=2), _conv(64, groups=2, pad_values=1.0)),
        brief="of groups of 32 k channels",
    ),
    Row(
        "norms with gains of any sign, biases, ReLU and pools of maxima between two binary "
        "convolutions, which hand on packed signs where nothing else reads them",
        BINARY,
        (
            _after(lambda x: layers.BatchNormalization()(x)),
            _after(lambda x: layers.BatchNormalization()(x), lambda x: layers.MaxPool2D()(x)),
            _after(
                lambda x: layers.MaxPool2D()(x),
                lambda x: layers.BatchNormalization()(x),
                padding="valid",
            ),
            _after(lambda x: layers.ReLU()(x), lambda x: layers.BatchNormalization()(x)),
            _after(lambda x: -0.5 * x, use_bias=True),
            _after(lambda x: layers.PReLU(shared_axes=[1, 2])(x)),
        ),
    ),
    Row(
        "pools, paddings, shifts and concatenations before the sign",
        BINARY,
        (
            _before(lambda x: layers.MaxPool2D()(x)),
            _before(lambda x: layers.ZeroPadding2D()(x), padding="valid"),
            _before(lambda x: tf.roll(x, 1, 1)),
            _before(lambda x: SpatialShift(1)(x)),
            _before(lambda x: tf.concat([x, -x], -1)),
            _before(lambda x: layers.UpSampling2D()(x)),
        ),
    ),
    Row("a layer that is called several times", BINARY, (_shared,)),
    Row(
        "`QuantShiftMLP`, `DynamicThresholdQuantConv2D` and the other layers of this package",
        BINARY,
        (
            _kind(QuantShiftMLP, 64),
            _kind(DynamicThresholdQuantConv2D, 64, 3, padding="same"),
        ),
        brief="the layers of this package",
    ),
    Row(
        "`QuantDense`, with `--dense-as-convolution`",
        BINARY,
        (
            _kind(lq.layers.QuantDense, 8, shape=(8 * 8 * 64,), **SIGNS),
            _kind(
                lq.layers.QuantDense,
                40,
                shape=(8 * 8 * 64,),
                input_quantizer="approx_sign",
                kernel_quantizer="magnitude_aware_sign",
            ),
        ),
        options=FileOptions(dense_as_convolution=True),
        brief="`QuantDense` with `--dense-as-convolution`",
    ),
    Row(
        "`QuantDense` without it",
        NOTED,
        (_kind(lq.layers.QuantDense, 8, shape=(8 * 8 * 64,), **SIGNS),),
        "--dense-as-convolution",
        brief="`QuantDense` without",
    ),
    Row(
        "a real kernel behind a sign",
        NOTED,
        (
            _conv(kernel_quantizer=None),
            _conv(kernel_quantizer=lq.quantizers.DoReFa(2, "weights")),
        ),
        "only its input is quantized",
        brief="a real kernel behind a sign",
    ),
    Row(
        "a binary kernel on an input that nothing quantizes, but in the first layer",
        FLOAT,
        (_conv(input_quantizer=None),),
        "add an input_quantizer such as ste_sign",
    ),
    Row(
        "inputs of `ste_heaviside`, `DoReFa`, `magnitude_aware_sign`",
        FLOAT,
        tuple(
            _conv(input_quantizer=quantizer)
            for quantizer in (
                "ste_heaviside",
                lq.quantizers.DoReFa(1),
                lq.quantizers.DoReFa(2),
                "magnitude_aware_sign",
            )
        ),
        "use ste_sign, approx_sign or swish_sign",
        brief="other quantizers of inputs, such as `ste_heaviside` and `DoReFa`",
    ),
    Row(
        "inputs of `ste_tern`, of which the converter makes a sign",
        REFUSED,
        (_conv(input_quantizer="ste_tern"),),
        "for a plain sign, which it is not",
        brief="inputs of `ste_tern`",
    ),
    Row(
        "kernels of `ste_tern`",
        FLOAT,
        (_conv(kernel_quantizer="ste_tern"),),
        "use ste_sign, magnitude_aware_sign or scaled_sign",
    ),
    Row("`pad_values` of -1", FLOAT, (_conv(pad_values=-1.0),), "use 1.0 or 0.0"),
    Row(
        "groups of another number of channels",
        FLOAT,
        (_conv(64, groups=4),),
        "not a multiple of 32: use groups=1",
    ),
    Row(
        "shifts, paddings, concatenations and reshapes between the sign and the convolution",
        FLOAT,
        (
            _before(lambda x: tf.roll(x, 1, 1), sign=True),
            _before(lambda x: layers.ZeroPadding2D()(x), sign=True, padding="valid"),
            _before(lambda x: tf.concat([x, x], -1), sign=True),
            _before(lambda x: layers.Permute((2, 1, 3))(x), sign=True),
        ),
        "move it before the sign",
        brief="what moves values between the sign and the convolution",
    ),
    Row(
        "`QuantDepthwiseConv2D`, `QuantSeparableConv2D`",
        FLOAT,
        (
            _kind(
                lq.layers.QuantDepthwiseConv2D,
                3,
                input_quantizer="ste_sign",
                depthwise_quantizer="ste_sign",
            ),
            _kind(
                lq.layers.QuantSeparableConv2D,
                8,
                3,
                input_quantizer="ste_sign",
                depthwise_quantizer="ste_sign",
            ),
        ),
        "depthwise and separable convolutions are not supported as binary: use QuantConv2D",
        brief="`QuantDepthwiseConv2D`, `QuantSeparableConv2D`",
    ),
    Row(
        "`QuantConv2DTranspose`",
        FLOAT,
        (_kind(lq.layers.QuantConv2DTranspose, 8, 3, **SIGNS),),
        "use UpSampling2D and QuantConv2D",
        brief="`QuantConv2DTranspose`",
    ),
    Row(
        "`QuantConv1D`",
        FLOAT,
        (_kind(lq.layers.QuantConv1D, 8, 3, shape=(64, 64), **SIGNS),),
        "1-D convolutions are not supported as binary: use QuantConv2D",
        brief="`QuantConv1D`",
    ),
    Row(
        "`QuantConv3D`",
        FLOAT,
        (_kind(lq.layers.QuantConv3D, 4, 3, shape=(8, 8, 8, 8), **SIGNS),),
        "3-D convolutions are not supported as binary: use QuantConv2D",
        brief="`QuantConv3D`",
    ),
    Row(
        "`QuantLocallyConnected1D`, `QuantLocallyConnected2D`",
        FLOAT,
        (
            _kind(
                lq.layers.QuantLocallyConnected1D,
                4,
                3,
                shape=(64, 64),
                implementation=2,
                **SIGNS,
            ),
            _kind(lq.layers.QuantLocallyConnected2D, 4, 3, implementation=2, **SIGNS),
        ),
        "locally connected layers are not supported as binary: use QuantConv2D",
        brief="`QuantLocallyConnected1D`, `QuantLocallyConnected2D`",
    ),
)


def _image_network(image=None, between=lambda x: x):
    image = tf.keras.Input((6, 6, 3), name="image") if image is None else image
    x = between(layers.Conv2D(32, 3)(between(image)))
    x = between(layers.BatchNormalization()(_conv()(x, "binary")))
    x = between(layers.GlobalAveragePooling2D()(x))
    return tf.keras.Model(image, between(layers.Dense(5, name="logits")(x)))


def _several():
    left, right = tf.keras.Input((6, 6, 3), name="left"), tf.keras.Input((7,), name="right")
    x = layers.Flatten()(_conv()(layers.Conv2D(32, 3)(left), "binary"))
    x = layers.Concatenate()([x, right])
    heads = {name: layers.Dense(3, name=name)(x) for name in ("a", "b", "c")}
    return tf.keras.Model([right, left], [heads[name] for name in "bac"])


def _words():
    words = tf.keras.Input((6,), dtype="int32")
    x = layers.Embedding(11, 32)(words)
    x = _conv()(layers.Reshape((6, 1, 32))(x), "binary")
    return tf.keras.Model(words, layers.Dense(2)(layers.Flatten()(x)))


def _recurrent():
    steps = tf.keras.Input((5, 3))
    recurrent = layers.Bidirectional(layers.LSTM(4)), layers.GRU(4), layers.SimpleRNN(4)
    return tf.keras.Model(steps, layers.Concatenate()([layer(steps) for layer in recurrent]))


def _mixed():
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        return _image_network()
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")


class _Called(tf.keras.Model):
    """A model of a class, which keeps its layers to itself."""

    def __init__(self):
        super().__init__()
        self.stem = layers.Conv2D(32, 3)
        self.binary = lq.layers.QuantConv2D(8, 3, name="binary", **SIGNS)

    def call(self, image):
        return layers.Flatten()(self.binary(self.stem(image)))


def _subclassed():
    model = _Called()
    model(tf.zeros((1, 6, 6, 3)))
    return model


def _quantized(x):
    return tf.quantization.fake_quant_with_min_max_vars(x, -3.0, 3.0)


WHOLE = (
    Whole("several inputs and outputs", "the model's order and names", _several),
    Whole("integers that select from a table: `Embedding`", "their own type", _words),
    Whole(
        "`LSTM`, `GRU`, `SimpleRNN`, in both directions, of an open batch",
        "a batch of 1, which the runtime runs on any number of samples",
        _recurrent,
    ),
    Whole(
        "a batch that is not 1",
        "a batch of 1, likewise",
        lambda: _image_network(tf.keras.Input((6, 6, 3), 4)),
    ),
    Whole(
        'the exact GELU of `activation="gelu"`',
        "the operator `GELU`, of which the engine's own converter makes one that nothing runs",
        lambda: _image_network(between=tf.nn.gelu),
    ),
    Whole("mixed precision", "float32", _mixed),
    Whole("a subclassed model that has been called", "the same", _subclassed),
    Whole(
        "fake quantization",
        "int8 between, with `--input-type int8`, `--output-type int8` from end to end",
        lambda: _image_network(between=_quantized),
        FileOptions(input_type="int8", output_type="int8"),
    ),
)


def table() -> str:
    """The table in Markdown."""
    lines = ["| a layer of larq, Keras or this package | in the file |", "|---|---|"]
    lines += [f"| {row.what} | {_words_of(row)} |" for row in ROWS]
    lines += ["", "| a model with | in the file |", "|---|---|"]
    lines += [f"| {whole.what} | {whole.becomes} |" for whole in WHOLE]
    return "\n".join(lines)


def _words_of(row: Row) -> str:
    return row.becomes + (f": {row.reason}" if row.reason else "")


def brief() -> str:
    """The table in a few lines."""
    cells = {
        becomes: "; ".join(row.brief for row in ROWS if row.becomes == becomes and row.brief)
        for becomes in (BINARY, NOTED, FLOAT, REFUSED)
    }
    cells["models with"] = "; ".join(whole.what for whole in WHOLE)
    lines = ["| ships as | |", "|---|---|"]
    return "\n".join(lines + [f"| {head} | {cell} |" for head, cell in cells.items()])


def written(page: str) -> str:
    """A page with the brief table between its marks."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{brief()}\n{END}{after}"


def examples(rows: tuple[Row, ...]) -> Iterator[tuple[str, Row, Callable]]:
    """Each example of rows, with a name for its layer."""
    for number, row in enumerate(rows):
        for position, build in enumerate(row.examples):
            yield f"row_{number}_{position}", row, build


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(written(path.read_text()))
