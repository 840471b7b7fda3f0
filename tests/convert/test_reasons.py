import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, randomize

from larq_bcd.convert import FloatFallbackError, convert, load_model, merge_heads
from larq_bcd.convert.graph import InferenceGraph
from larq_bcd.convert.reasons import expected_reasons, trains_as_binary
from larq_bcd.layers import DySign, QuantConv2D, QuantShiftMLP
from larq_bcd.summary import cost, summarize

layers = tf.keras.layers
SIGN = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
QUANTIZED = {**SIGN, "kernel_constraint": "weight_clip", "use_bias": False}
KERNEL_ONLY = {**QUANTIZED, "input_quantizer": None}


def _report(build, shape=(8, 8, 3)):
    image = tf.keras.Input(shape)
    x = layers.Conv2D(64, 1, name="stem")(image) if len(shape) == 3 else image
    return convert(randomize(tf.keras.Model(image, build(x)))).report


def _only(report, name="odd"):
    [layer] = [layer for layer in report.layers if layer.name == name]
    return layer


def rounded_to_two_levels(x):
    return 2.0 * tf.round(tf.clip_by_value(x, 0.0, 1.0)) - 1.0


def compared_with_zero(x):
    return 1.0 - 2.0 * tf.cast(x < 0, tf.float32)


def _between(*operations):
    def build(x):
        x = lq.quantizers.SteSign()(x)
        for operation in operations:
            x = operation(x)
        return lq.layers.QuantConv2D(32, 1, name="odd", **KERNEL_ONLY)(x)

    return build


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (_between(lambda x: tf.roll(x, 1, 1)), r"tf\.roll.* \(Roll\) stands between the sign"),
        (
            _between(layers.ZeroPadding2D(1, name="border")),
            "ZeroPadding2D 'border' .* stands between",
        ),
        (
            _between(
                layers.Reshape((4, 16, 64), name="other_shape"), layers.Permute((2, 1, 3))
            ),
            "Reshape 'other_shape' .*and Permute .*stand between",
        ),
        (
            _between(lambda x: layers.Concatenate(name="joined")([x, x])),
            "Concatenate 'joined' .* stands between",
        ),
        (_between(lambda x: 0.5 * x), "computes with the sign"),
        (
            lambda x: binary_conv(input_quantizer="ste_heaviside", name="odd")(x),
            "input quantizer SteHeaviside is not a plain sign",
        ),
        (
            lambda x: binary_conv(input_quantizer="dorefa_quantizer", name="odd")(x),
            "input quantizer DoReFa is not a plain sign",
        ),
        (
            lambda x: binary_conv(input_quantizer="magnitude_aware_sign", name="odd")(x),
            "input quantizer MagnitudeAwareSign is not a plain sign",
        ),
        (
            lambda x: binary_conv(kernel_quantizer="ste_tern", name="odd")(x),
            "kernel quantizer SteTern does not give plus or minus one scale",
        ),
        (
            lambda x: binary_conv(input_quantizer=None, name="odd")(x),
            "only the kernel is quantized",
        ),
        (
            lambda x: binary_conv(input_quantizer=None, name="odd")(
                2 * tf.cast(x >= 0, tf.float32) - 1
            ),
            r"its input is made of a comparison \(GreaterEqual\)",
        ),
        (
            lambda x: binary_conv(input_quantizer=compared_with_zero, name="odd")(x),
            r"input quantizer compared_with_zero is made of a comparison \(Less\)",
        ),
        (
            lambda x: binary_conv(input_quantizer=None, name="odd")(tf.sign(x)),
            r"its input is tf.sign, which is 0 where its own input is",
        ),
        (
            lambda x: binary_conv(pad_values=-1.0, name="odd")(x),
            "pad_values=-1 is not supported",
        ),
        (
            lambda x: binary_conv(groups=4, name="odd", pad_values=0.0)(x),
            "groups=4 leaves 16 channels in each group",
        ),
        (
            lambda x: lq.layers.QuantDense(8, name="odd", **KERNEL_ONLY)(layers.Flatten()(x)),
            "only the kernel is quantized",
        ),
        (
            lambda x: lq.layers.QuantLocallyConnected1D(
                4, 3, name="odd", implementation=2, **QUANTIZED
            )(layers.Reshape((64, 64))(x)),
            "locally connected layers are not supported as binary",
        ),
        (
            lambda x: binary_conv(
                input_quantizer=lq.quantizers.DoReFa(1),
                kernel_quantizer=lq.quantizers.DoReFa(1, "weights"),
                name="odd",
            )(x),
            "input quantizer DoReFa is not a plain sign",
        ),
        (
            lambda x: binary_conv(input_quantizer=rounded_to_two_levels, name="odd")(x),
            "input quantizer rounded_to_two_levels is not a plain sign",
        ),
        (
            lambda x: lq.layers.QuantDepthwiseConv2D(
                3, name="odd", input_quantizer="ste_sign", depthwise_quantizer="ste_sign"
            )(x),
            "depthwise and separable convolutions",
        ),
        (
            lambda x: lq.layers.QuantConv2DTranspose(8, 3, name="odd", **QUANTIZED)(x),
            "transposed convolutions are not supported",
        ),
        (
            lambda x: lq.layers.QuantConv1D(8, 3, name="odd", **QUANTIZED)(
                layers.Reshape((64, 64))(x)
            ),
            "1-D convolutions are not supported",
        ),
    ],
)
def test_a_layer_that_trains_as_binary_and_ships_as_float_has_its_reason(build, reason):
    report = _report(build)
    layer = _only(report)
    assert layer.trains_as_binary
    assert layer.ships_as == "float"
    assert report.fallbacks == [layer]
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(layer.reason)


def test_exported_operations_of_half_precision_have_that_as_their_reason(tmp_path):
    tf.keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        image = tf.keras.Input((8, 8, 32))
        model = tf.keras.Model(image, binary_conv(name="odd")(image))
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    randomize(model).export(tmp_path / "exported")
    exported = load_model(tmp_path / "exported").model
    (layer,) = convert(exported).report.fallbacks
    assert "computes in float16" in layer.reason


def test_a_kernel_that_is_not_finite_is_not_called_one_of_another_scale():
    image = tf.keras.Input((8, 8, 32))
    model = randomize(tf.keras.Model(image, binary_conv(name="odd")(image)))
    kernel = model.get_layer("odd").kernel
    kernel.assign(np.where(kernel.numpy() > 0.3, np.nan, kernel.numpy()))
    assert "not finite" in _only(convert(model).report).reason


def test_a_separable_convolution_is_listed_with_both_its_kernels():
    report = _report(
        lambda x: lq.layers.QuantSeparableConv2D(
            8,
            3,
            name="odd",
            input_quantizer="ste_sign",
            depthwise_quantizer="ste_sign",
            pointwise_quantizer="ste_sign",
        )(x)
    )
    assert [layer.name for layer in report.fallbacks] == ["odd", "odd/pointwise_kernel"]
    assert "takes no sign between its two convolutions" in report.fallbacks[1].reason


@pytest.mark.parametrize(
    "build",
    [
        lambda x: binary_conv(name="odd")(x),
        lambda x: binary_conv(name="odd", pad_values=0.0)(x),
        lambda x: binary_conv(name="odd", padding="valid", dilation_rate=2)(x),
        lambda x: binary_conv(40, 1, name="odd", kernel_quantizer="magnitude_aware_sign")(x),
        lambda x: binary_conv(name="odd", kernel_quantizer="scaled_sign")(x),
        lambda x: binary_conv(name="odd")(layers.MaxPool2D()(x)),
        lambda x: binary_conv(name="odd")(tf.roll(x, 1, 1)),
        lambda x: binary_conv(kernel_quantizer=lq.quantizers.DoReFa(1, "weights"), name="odd")(
            x
        ),
        lambda x: binary_conv(kernel_quantizer=rounded_to_two_levels, name="odd")(x),
        _between(),
        lambda x: layers.ReLU()(layers.BatchNormalization()(binary_conv(name="odd")(x))),
    ],
)
def test_what_larq_compute_engine_supports_ships_as_binary(build):
    report = _report(build)
    assert _only(report).ships_as == "binary"
    assert _only(report).operator == "LceBconv2d"
    assert report.fallbacks == []
    assert report.check.faults == []


def test_layers_inside_of_layers_and_models_are_found_by_their_path():
    inner_input = tf.keras.Input((8, 8, 64))
    inner = tf.keras.Model(inner_input, binary_conv(64, name="deep")(inner_input), name="inner")
    report = _report(lambda x: QuantShiftMLP(64, name="mlp")(inner(x)))
    assert [layer.name for layer in report.layers] == [
        "stem",
        "inner/deep",
        "mlp/pointwise",
        "mlp/short_range",
        "mlp/long_range",
    ]
    assert [layer.ships_as for layer in report.layers] == ["float"] + ["binary"] * 4


def test_a_layer_that_is_called_twice_is_listed_twice():
    shared = binary_conv(64, name="shared")
    report = _report(lambda x: shared(shared(x)))
    assert [layer.name for layer in report.layers] == ["stem", "shared", "shared (call 2)"]
    assert [layer.ships_as for layer in report.layers][1:] == ["binary", "binary"]


def test_layers_of_equal_weights_are_told_apart():
    image = tf.keras.Input((4, 4, 3))
    mlp = QuantShiftMLP(64, name="mlp")
    model = randomize(tf.keras.Model(image, mlp(layers.Conv2D(64, 1)(image))))
    for branch in (mlp.short_range, mlp.long_range):
        branch.set_weights(mlp.pointwise.get_weights())
    result = convert(model)
    result.require_binary()
    result.require_equal()


def test_a_real_kernel_behind_a_sign_is_noted_not_a_fallback():
    report = _report(lambda x: binary_conv(kernel_quantizer=None, name="odd")(x))
    assert _only(report).ships_as == "float"
    assert "only its input is quantized" in _only(report).note
    assert report.fallbacks == []


@pytest.mark.parametrize(
    "build",
    [
        lambda x: binary_conv(8, input_quantizer=None, name="odd")(x),
        lambda x: binary_conv(8, input_quantizer=None, name="odd", padding="valid")(
            layers.BatchNormalization()(layers.ZeroPadding2D()(x))
        ),
        lambda x: lq.layers.QuantDense(8, name="odd", **KERNEL_ONLY)(layers.Flatten()(x)),
    ],
)
def test_a_first_layer_of_real_input_and_binary_kernel_is_noted_and_not_a_fallback(build):
    image = tf.keras.Input((4, 4, 3))
    model = randomize(tf.keras.Model(image, build(image)))
    result = convert(model)
    result.require_binary()
    result.require_equal()
    assert not _only(result.report).trains_as_binary
    assert "its input is the model's own" in _only(result.report).note
    assert cost(model).binary_parameters == 0


def test_a_dense_layer_is_noted_with_what_to_do_and_not_a_fallback():
    image = tf.keras.Input((4, 4, 3))
    x = layers.Flatten()(layers.Conv2D(8, 1)(image))
    model = randomize(
        tf.keras.Model(image, lq.layers.QuantDense(8, name="odd", **QUANTIZED)(x))
    )
    result = convert(model)
    result.require_binary()
    result.require_equal()
    assert _only(result.report).trains_as_binary
    assert "--dense-as-convolution" in _only(result.report).note
    assert "--dense-as-convolution" in summarize(model).layers[-1].reason_for_float


@pytest.mark.parametrize(
    ("quantizer", "is_binary"),
    [
        ("ste_sign", True),
        ("magnitude_aware_sign", True),
        ("ste_tern", True),
        (lq.quantizers.DoReFa(1, "weights"), True),
        (lq.quantizers.DoReFa(2, "weights"), False),
        (lq.quantizers.NoOp(1), True),
        (rounded_to_two_levels, True),
        (lambda x: tf.where(x < 0, -0.5, 0.5), True),
        (lambda x: 2.0 * x, False),
        (None, False),
    ],
)
def test_summary_and_conversion_agree_on_what_trains_as_binary(quantizer, is_binary):
    image = tf.keras.Input((4, 4, 3))
    x = layers.Conv2D(8, 1)(image)
    x = lq.layers.QuantConv2D(4, 3, input_quantizer="ste_sign", kernel_quantizer=quantizer)(x)
    model = randomize(tf.keras.Model(image, x))
    graph = InferenceGraph(model)
    assert trains_as_binary(graph.weighted_ops[1], graph) is is_binary
    assert cost(model).binary_parameters == is_binary * 3 * 3 * 8 * 4


def test_the_error_names_every_fallback_with_its_reason():
    def build(x):
        x = binary_conv(64, pad_values=-1.0, name="first")(x)
        return binary_conv(64, input_quantizer=None, name="second")(x)

    image = tf.keras.Input((8, 8, 3))
    result = convert(randomize(tf.keras.Model(image, build(layers.Conv2D(64, 1)(image)))))
    assert result.report.check is None
    with pytest.raises(FloatFallbackError, match=r"(?s)2 of.*\n  first: pad.*\n  second: only"):
        result.require_binary()


def test_the_report_counts_sizes_and_types(small):
    result = convert(small)
    report = result.report
    [given], [given_back] = report.inputs, report.outputs
    assert (given.name, given.shape, given.dtype) == ("image", (1, 12, 12, 3), "float32")
    assert (given_back.name, given_back.shape) == ("logits", (1, 5))
    assert report.file_bytes == len(result.content)
    assert report.float32_bytes == 4 * merge_heads(small)[0].count_params()
    assert "fc and fc_dist are merged into logits" in report.changes[0]


@pytest.mark.parametrize("pad_values", [0.0, 1.0])
@pytest.mark.parametrize("input_quantizer", [None, "ste_sign"])
@pytest.mark.parametrize(
    ("kind", "padding", "strides"),
    [
        (lq.layers.QuantConv2D, "same", 1),
        (lq.layers.QuantConv2D, "same", 2),
        (QuantConv2D, "symmetric", 2),
    ],
)
def test_what_is_expected_of_a_padding_is_what_conversion_makes_of_it(
    kind, padding, strides, input_quantizer, pad_values
):
    image = tf.keras.Input((9, 9, 32))
    x = image if input_quantizer else DySign()(image)
    quantizers = {"input_quantizer": input_quantizer, "kernel_quantizer": "ste_sign"}
    x = kind(8, 3, strides, padding, pad_values=pad_values, use_bias=False, **quantizers)(x)
    model = randomize(tf.keras.Model(image, x))
    result = convert(model, allow_float_fallback=True)
    result.require_equal()
    found = {layer.name: layer.reason for layer in result.report.fallbacks}
    assert expected_reasons(model) == found
    # What LCE does not take for its own padding is float, and the remedy is one that works.
    is_float = padding == "symmetric" and not pad_values and input_quantizer is None
    assert len(found) == is_float
    assert all("use pad_values=1.0" in reason for reason in found.values())
