import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, corrupted, randomize, small_model

from larq_bcd.convert import convert
from larq_bcd.convert.graph import InferenceGraph
from larq_bcd.convert.inputs import noise
from larq_bcd.convert.lce import convert_model
from larq_bcd.convert.match import has_one_scale, match_layers, match_steps
from larq_bcd.layers import QuantShiftMLP
from larq_bcd.models import BCDNetB
from larq_bcd.tflite.graph import Graph
from larq_bcd.tflite.operators import BINARY_CONVOLUTION

layers = tf.keras.layers


def _flip_a_bit(values):
    values[0] ^= 1


def _shift_one_weight(values):
    values[0] += 0.01 * np.abs(values).max()


def test_layers_are_found_by_their_weights_alone(converted):
    graph, flatbuffer = converted(small_model())
    for kind, change, name in [
        ("LceBconv2d", _flip_a_bit, "first"),
        ("CONV_2D", _shift_one_weight, "stem"),
    ]:
        changed = corrupted(flatbuffer, flatbuffer.nodes_of(kind)[0], 1, change)
        found = {m.layer.name: m.node for m in match_layers(graph, changed)}
        assert found.pop(name) is None
        assert None not in found.values()


def test_only_signed_kernels_have_one_scale(converted):
    graph, _ = converted(small_model())
    scales = {layer.name: has_one_scale(layer) for layer in graph.weighted_ops}
    names = {"stem": False, "first": True, "second": True, "fc": False, "fc_dist": False}
    assert scales == names


@pytest.mark.parametrize(
    ("kernel_quantizer", "model_name"),
    [
        ("scaled_sign", "a_name_of_which_the_converter_leaves_nothing_of_the_layer"),
        ("ste_sign", "cut_behind_the_name_of_a_branch"),
    ],
)
def test_new_layers_whose_kernels_have_the_same_signs_are_told_apart(
    converted, kernel_quantizer, model_name
):
    image = x = tf.keras.Input((4, 4, 32))
    x = QuantShiftMLP(
        32,
        kernel_quantizer=kernel_quantizer,
        kernel_initializer=tf.keras.initializers.RandomUniform(0.0, 0.001),
        name="mlp",
    )(x)
    graph, flatbuffer = converted(tf.keras.Model(image, x, name=model_name))
    operators = {
        match.layer.name.removeprefix("mlp/"): match.node
        for match in match_layers(graph, flatbuffer)
    }
    # How far a branch shifts the first channels shows in how many rows it takes from the end.
    rows = {}
    for name, operator in operators.items():
        value, rows[name] = operator.data, 0
        while producer := value.producer:
            value = producer.data
            if producer.type == "SLICE":
                rows[name] = producer.outputs[0].shape[1]
                break
    assert rows == {"pointwise": 0, "short_range": 1, "long_range": 2}


def _trained(model):
    """Random weights, with gains of batch norms of every sign."""
    randomize(model)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.gamma.assign(np.resize([1.0, -0.7, 0.0], layer.gamma.shape))
    return model


def _two_readers(x):
    x = layers.BatchNormalization()(x)
    return binary_conv(name="one_reader")(x) + binary_conv(name="other_reader")(x)


# Options of a binary convolution, and what stands between it and the next one.
FLIPPED = {
    "norm": ({}, [layers.BatchNormalization]),
    "norm_pool": ({}, [layers.BatchNormalization, layers.MaxPool2D]),
    "pool_norm": ({}, [layers.MaxPool2D, layers.BatchNormalization]),
    "relu_norm": ({}, [layers.ReLU, layers.BatchNormalization]),
    "scales": ({"kernel_quantizer": "magnitude_aware_sign"}, [layers.BatchNormalization]),
    "negative_scale": ({}, [lambda: lambda x: -0.5 * x]),
    "valid": ({"padding": "valid"}, [layers.BatchNormalization]),
    "stride": ({"strides": 2}, [layers.BatchNormalization]),
    "zeros_around": ({"pad_values": 0.0}, [layers.BatchNormalization]),
    "groups": ({"groups": 2}, [layers.BatchNormalization]),
    "bias": ({"use_bias": True}, [layers.BatchNormalization]),
    "two_readers": ({}, [lambda: _two_readers]),
}


def test_kernels_that_the_converter_turns_around_are_found():
    image = tf.keras.Input((6, 6, 3))
    stem = layers.Conv2D(64, 1, name="stem")(image)
    outputs = []
    for name, (options, between) in FLIPPED.items():
        x = binary_conv(name=name, **options)(stem)
        for make in between:
            x = make()(x)
        x = binary_conv(8, name=f"{name}_next")(x)
        outputs.append(layers.GlobalAveragePooling2D()(x))
    shared, norm = binary_conv(64, name="shared"), layers.BatchNormalization()
    x = shared(norm(shared(norm(shared(stem)))))
    outputs.append(layers.GlobalAveragePooling2D()(x))
    model = _trained(tf.keras.Model(image, layers.Concatenate()(outputs)))
    result = convert(model, noise(model, 2))
    result.require_binary()
    result.require_equal()
    assert result.report.check.unseen == []


def test_kernels_that_are_equal_when_turned_around_are_told_apart_by_what_is_before_them():
    image = tf.keras.Input((6, 6, 3))
    convolutions = [binary_conv(name=f"conv_{number}") for number in range(4)]
    x = layers.Conv2D(32, 1, name="stem")(image)
    for convolution in convolutions:
        x = layers.BatchNormalization()(convolution(x))
    model = _trained(tf.keras.Model(image, x))
    for number, convolution in enumerate(convolutions[1:]):
        flips = np.where(np.arange(32) % (number + 2) == 0, -1, 1)
        convolution.kernel.assign(convolutions[0].kernel * flips)
    result = convert(model)
    result.require_binary()
    result.require_equal()


def test_float_kernels_are_found_behind_gains_of_every_sign(converted):
    image = tf.keras.Input((6, 6, 4))
    kinds = {
        layers.Conv2D(8, 3, name="plain"): "CONV_2D",
        layers.Conv2D(8, 3, groups=2, name="groups"): "CONV_2D",
        layers.DepthwiseConv2D(3, name="depthwise"): "DEPTHWISE_CONV_2D",
        layers.DepthwiseConv2D(3, depth_multiplier=2, name="twice"): "DEPTHWISE_CONV_2D",
        layers.Conv2DTranspose(8, 3, name="transposed"): "TRANSPOSE_CONV",
        layers.Dense(8, name="dense"): "FULLY_CONNECTED",
        layers.Conv1D(8, 3, name="rows"): "CONV_2D",
    }
    outputs = [layers.BatchNormalization()(layer(image)) for layer in kinds]
    matches = match_layers(*converted(_trained(tf.keras.Model(image, outputs))))
    found = {match.layer.name: match.node and match.node.type for match in matches}
    assert found == {layer.name: operator for layer, operator in kinds.items()}


def test_roundings_of_branches_are_told_apart_by_the_layers_around_them():
    image = tf.keras.Input((6, 6, 3))
    x = layers.Conv2D(32, 1)(image)
    outputs = [
        layers.Flatten()(
            layers.Conv2D(4, 1, name=f"after_{bits}")(lq.quantizers.DoReFa(bits)(x))
        )
        for bits in (1, 2, 3, 4)
    ]
    result = convert(randomize(tf.keras.Model(image, layers.Concatenate()(outputs))))
    result.require_equal()
    assert result.report.check.unseen == []


@pytest.mark.parametrize("is_turned_first", [True, False])
def test_a_rounding_that_the_converter_moves_behind_a_transposition_is_no_fault(
    is_turned_first,
):
    def rounded(x):
        return tf.quantization.fake_quant_with_min_max_vars(x, -4.0, 4.0)

    steps = [rounded, layers.Permute((2, 1, 3))]
    image = tf.keras.Input((7, 7, 4))
    x = binary_conv(name="binary")(layers.Conv2D(32, 1)(image))
    for step in reversed(steps) if is_turned_first else steps:
        x = step(x)
    x = layers.MaxPool2D(3, 2, padding="same")(x)
    model = randomize(tf.keras.Model(image, layers.Dense(4)(layers.Flatten()(x))))
    result = convert(model)
    result.require_equal()
    # Of a rounding before the transposition the file has only the one behind it.
    unseen = result.report.check.unseen
    assert len(unseen) == (0 if is_turned_first else 1)


def test_a_rounding_that_the_converter_moves_before_a_pool_is_found_behind_it():
    """Where the shape behind the first pool is that before the second."""

    def rounded(x):
        return tf.quantization.fake_quant_with_min_max_vars(x, -4.0, 4.0)

    image = tf.keras.Input((8, 8, 4))
    x = rounded(layers.Conv2D(32, 1)(image))
    for number in range(3):
        x = binary_conv(name=f"binary{number}", activation="relu", use_bias=True)(x)
        x = rounded(layers.MaxPool2D()(layers.BatchNormalization()(x)))
    x = rounded(layers.GlobalAveragePooling2D()(x))
    result = convert(randomize(tf.keras.Model(image, layers.Dense(4)(x))))
    result.require_equal()
    assert result.report.check.unseen == []


@pytest.mark.parametrize(
    "before", [layers.MaxPool2D(), layers.MaxPool2D(padding="same"), layers.Permute((2, 1, 3))]
)
@pytest.mark.parametrize("limit", [None, 6.0])
def test_a_rounding_behind_an_activation_of_what_has_been_moved_is_found(before, limit):
    image = tf.keras.Input((8, 8, 3))
    x = layers.BatchNormalization()(binary_conv()(layers.Conv2D(32, 1)(image)))
    x = layers.ReLU(limit)(before(x))
    x = tf.quantization.fake_quant_with_min_max_vars(x, -4.0, 4.0)
    model = randomize(tf.keras.Model(image, binary_conv(name="last")(x)))
    result = convert(model)
    result.require_equal()
    assert result.report.check.unseen == []


def test_kernels_of_zeros_are_not_taken_for_binary_ones():
    """Those of the thresholds of a new network, whose conversion ended in a ValueError."""
    shape = {"width": 0.25, "strides": (1, 2, 1, 2, 2, 1), "blocks": (1, 2, 1, 3, 1)}
    model = BCDNetB((32, 32, 3), num_classes=10, mlp_blocks=1, **shape)
    graph, file = InferenceGraph(model), Graph(convert_model(model)[0])
    matches = match_layers(graph, file)
    zeros = [match for match in matches if not match.layer.kernel.any()]
    assert zeros
    assert all(one.node is None or one.node.type != BINARY_CONVOLUTION for one in zeros)
    for one in match_steps(graph, file, matches):
        if one.before is not None:
            assert one.before.shape[1:] == tuple(one.step.before.shape[1:])
