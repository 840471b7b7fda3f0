"""The passes over the flatbuffer, on networks that are generated from our layers."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, randomize
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from larq_compute_engine.tflite.python.interpreter import Interpreter

from larq_bcd.convert.check import check
from larq_bcd.convert.graph import InferenceGraph
from larq_bcd.convert.lce import convert_model
from larq_bcd.convert.match import match_layers
from larq_bcd.convert.passes import (
    PASSES,
    activation_bytes,
    optimize,
    restore_padding,
)
from larq_bcd.layers import LearnableBias, QuantConv2D, QuantShiftMLP
from larq_bcd.models import blocks
from larq_bcd.models.blocks import Binarization
from larq_bcd.tflite.graph import Graph, Value
from larq_bcd.tflite.schema import schema

layers = tf.keras.layers
EXACT = [name for name, one in PASSES.items() if one.is_exact]
NETWORKS = 3  # that hypothesis generates


def network(size, channels, thresholds, pad_values, strides, shifts, point):
    """Blocks of BCDNet, small: convolutions, then shifted products."""
    image = x = tf.keras.Input((size, size, 3), name="image")
    x = blocks.stem(x, channels, 1)
    for i, (threshold, stride) in enumerate(zip(thresholds, strides, strict=True)):
        binarization = Binarization(threshold=threshold, pad_values=pad_values)
        doubled = x.shape[-1] * (1 + i % 2)
        x = blocks.react_block(x, doubled, stride, binarization, f"block{i}")
    for i, ranges in enumerate(shifts):
        x = blocks.bi_mlp(x, ranges, Binarization(), f"mlp{i}")
    if point:
        x = blocks.point(x, Binarization(), "point")
    x = layers.GlobalAveragePooling2D()(x)
    return randomize(tf.keras.Model(image, layers.Dense(5, name="logits")(x)), seed=channels)


networks = st.builds(
    network,
    size=st.sampled_from([9, 12]),
    channels=st.sampled_from([32, 64, 128]),
    thresholds=st.lists(st.sampled_from(["static", "contextual"]), min_size=2, max_size=2),
    pad_values=st.sampled_from([0.0, 1.0]),
    strides=st.sampled_from([(1, 1), (2, 1), (1, 2)]),
    shifts=st.sampled_from([(), ((1, "half"),), ((2, 2), (1, 3))]),
    point=st.booleans(),
)


class Converted:
    """A network as the converter leaves it, with its padding restored."""

    def __init__(self, model):
        self.graph = InferenceGraph(model)
        plain = Graph(convert_model(model)[0])
        restore_padding(plain, match_layers(self.graph, plain))
        plain.tidy()
        self.content = plain.write()
        rng = np.random.default_rng(0)
        shape = (2, *model.inputs[0].shape[1:])
        self.inputs = rng.normal(size=shape).astype(np.float32)

    @property
    def plain(self):
        return Graph(self.content)

    def run(self, graph):
        interpreter = Interpreter(graph.write())
        return [interpreter.predict(x[None]) for x in self.inputs]

    def faults(self, graph):
        matches = match_layers(self.graph, graph)
        assert all(match.node is not None for match in matches)
        return check(self.graph, graph, matches, self.inputs, "noise").faults

    def optimized(self, *names):
        return optimized(self.plain, names or tuple(PASSES))[0]


def optimized(graph, names=tuple(PASSES)):
    reports = optimize(graph, names)
    return graph, reports


def combinations(seed, count):
    rng = np.random.default_rng(seed)
    every = [c for n in range(len(PASSES) + 1) for c in itertools.combinations(PASSES, n)]
    return [every[i] for i in rng.choice(len(every), count, replace=False)]


@settings(
    max_examples=NETWORKS,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(networks)
def test_any_combination_of_passes_computes_the_same(model):
    converted = Converted(model)
    outputs = converted.run(converted.plain)
    for names in combinations(seed=1, count=6):
        exact = converted.optimized(*(name for name in names if name in EXACT), "common")
        np.testing.assert_array_equal(converted.run(exact), outputs)
    for names in (*combinations(seed=2, count=2), tuple(PASSES)):
        assert converted.faults(converted.optimized(*names)) == []


@pytest.fixture(scope="module")
def mlp():
    """One of each kind of unit, with all that the passes look for."""
    return Converted(
        network(12, 64, ["static", "contextual"], 0.0, (1, 2), ((1, "half"),), point=True)
    )


@pytest.mark.slow
def test_every_combination_of_passes_computes_the_same(mlp):
    outputs, checked = mlp.run(mlp.plain), {}
    for chosen in itertools.product([False, True], repeat=len(PASSES)):
        names = list(itertools.compress(PASSES, chosen))
        graph, _ = optimized(mlp.plain, names)
        content = graph.write()
        # Many are equal: a pass may have nothing left to do.
        if content not in checked:
            checked[content] = mlp.faults(graph)
        assert checked[content] == [], names
        if set(names) <= set(EXACT):
            np.testing.assert_array_equal(mlp.run(graph), outputs, str(names))
    assert len(checked) > 50


def types(graph):
    return [node.type for node in graph.nodes]


def test_every_pass_has_something_to_do_and_each_alone_computes_the_same(mlp):
    outputs = mlp.run(mlp.plain)
    for name, one in PASSES.items():
        graph, (report,) = optimized(mlp.plain, [name])
        assert report.name == name
        # Constants that are zero, and signs that two layers share, the converter joins itself;
        # reshapes go once the subtractions are gone.
        if name not in ("common", "zeros", "reshapes"):
            assert report.changes > 0
        if one.is_exact:
            np.testing.assert_array_equal(mlp.run(graph), outputs)
        assert mlp.faults(graph) == []


def test_the_optimized_file_has_one_quantize_for_each_sign_and_no_product_left(mlp):
    found = types(mlp.optimized())
    assert found.count("LceQuantize") == 6  # 2 blocks of 2 units, a BiMLP, a point
    assert found.count("LceBconv2d") == 4 + 3 + 1
    assert found.count("GATHER") == 2
    assert found.count("ADD_N") == 1
    assert found.count("ADD") == 6 + 5 + 2  # thresholds, shortcuts, dynamic offsets
    assert found.count("RESHAPE") == 1  # the words of the BiMLP
    for absent in ("MUL", "SUB", "SPLIT", "SLICE"):
        assert absent not in found
    assert activation_bytes(mlp.optimized()) < 0.65 * activation_bytes(mlp.plain)


def test_signature_names_and_types_are_kept(mlp):
    once, plain = mlp.optimized(), mlp.plain
    assert [(v.name, v.shape, v.dtype) for v in once.inputs + once.outputs] == [
        (v.name, v.shape, v.dtype) for v in plain.inputs + plain.outputs
    ]
    assert once.output_names == plain.output_names == ["logits"]


def test_nothing_unused_is_left_and_no_constant_is_there_twice(mlp):
    model = schema.ModelT.InitFromPackedBuf(mlp.optimized().write(), 0)
    graph = model.subgraphs[0]
    used = {int(i) for op in graph.operators for i in (*op.inputs, *op.outputs) if i >= 0}
    assert used | set(graph.inputs) == set(range(len(graph.tensors)))
    assert {op.opcodeIndex for op in graph.operators} == set(range(len(model.operatorCodes)))
    buffers = {t.buffer for t in graph.tensors} | {m.buffer for m in model.metadata} | {0}
    assert buffers == set(range(len(model.buffers)))
    constants = [
        (t.type, tuple(t.shape), bytes(model.buffers[t.buffer].data))
        for t in graph.tensors
        if model.buffers[t.buffer].data is not None and len(model.buffers[t.buffer].data)
    ]
    assert len(set(constants)) == len(constants)


def test_buffers_start_at_multiples_of_16_bytes(mlp):
    model = schema.Model.GetRootAsModel(mlp.optimized().write(), 0)
    tables = [model.Buffers(i)._tab for i in range(model.BuffersLength())]
    starts = [table.Vector(offset) for table in tables if (offset := table.Offset(4))]
    assert len(starts) > 10
    assert all(start % 16 == 0 for start in starts)


def test_the_same_model_gives_the_same_bytes(mlp):
    assert mlp.optimized().write() == mlp.optimized().write()


def test_optimizing_twice_changes_nothing_more(mlp):
    once = mlp.optimized()
    content = once.write()
    assert sum(report.changes for report in optimize(once)) == 0
    assert once.write() == content


def built(build, shape=(8, 8, 64)):
    image = tf.keras.Input(shape)
    return Converted(randomize(tf.keras.Model(image, build(image))))


def left(converted, name):
    """What a pass reports to have left; the file must be as it was."""
    graph, (report,) = optimized(converted.plain, [name])
    assert report.changes == 0
    assert types(graph) == types(converted.plain)
    return report.skipped


def test_do_not_share_what_differs_in_an_option_or_a_constant():
    def alike(x):
        pooled = [layers.AveragePooling2D(2, stride, "same")(x) for stride in (1, 2)]
        sums = [LearnableBias()(layers.PReLU(shared_axes=[1, 2])(x)) for _ in range(2)]
        return tf.concat([pooled[0], *sums], -1) + tf.reduce_mean(pooled[1])

    assert left(built(alike), "common") == []


def addition():
    """A file that ends in an addition, and the operator."""
    graph = built(lambda x: tf.abs(x) + 1.0).plain
    (node,) = graph.nodes_of("ADD")
    return graph, node


def test_do_not_share_an_output_of_the_file():
    graph, node = addition()
    other = Value.new(node.output.shape, np.float32, "other")
    graph.copy_node(node, node.inputs, [other])
    graph.outputs.append(other)
    (report,) = optimize(graph, ["common"])
    assert report.changes == 0
    assert graph.outputs[0].name != graph.outputs[1].name == "other"


def test_do_not_drop_a_zero_that_gives_an_output_of_the_file():
    graph, node = addition()
    node.set_input(1, Value.of(np.zeros(64, np.float32), "zeros"))
    (report,) = optimize(graph, ["zeros"])
    assert report.changes == 0
    assert types(graph) == ["ABS", "ADD"]


def test_do_not_turn_a_difference_whose_subtrahend_something_else_reads():
    def shared(x):
        y = layers.Conv2D(64, 1)(x)
        return (x - y) * y

    assert left(built(shared), "differences") == []


def test_do_not_turn_a_difference_of_what_is_not_linear():
    assert left(built(lambda x: tf.abs(x) - tf.square(x)), "differences") == []


def test_do_not_drop_what_is_zero_or_one_in_some_channels_only():
    zeros, ones = np.zeros(64, np.float32), np.ones(64, np.float32)
    zeros[5], ones[7] = 1e-7, 1 + 2**-23
    assert left(built(lambda x: tf.abs(tf.abs(x) + zeros)), "zeros") == []
    assert left(built(lambda x: tf.abs(tf.abs(x) * ones)), "zeros") == []


def test_do_not_drop_a_subtraction_from_zero():
    assert left(built(lambda x: tf.abs(tf.zeros(64) - tf.abs(x))), "zeros") == []


def test_do_not_drop_a_reshape_that_something_else_reads_or_that_moves_values():
    def joined(x):
        mean = layers.Dense(64)(tf.reduce_mean(x, [1, 2]))
        mean = tf.reshape(mean, (1, 1, 1, 64))
        return tf.concat([mean, tf.abs(x[:, :1, :1])], 1)

    def moved(x):
        mean = tf.nn.relu(tf.reduce_mean(x, [2, 3]))
        return tf.abs(x) + tf.reshape(mean, (1, 8, 1, 1))

    for build in (joined, moved):
        converted = built(build)
        assert "RESHAPE" in types(converted.plain)
        assert left(converted, "reshapes") == []


def test_do_not_pack_shifts_of_groups_that_are_not_multiples_of_32():
    converted = built(lambda x: QuantShiftMLP(64)(x), shape=(9, 9, 64))
    (first, second) = left(converted, "movement")
    assert "multiples of 32" in first
    assert "multiples of 32" in second
    assert converted.faults(converted.optimized()) == []


def test_do_not_pack_a_movement_of_two_tensors():
    def two(x):
        return binary_conv()(tf.concat([layers.ReLU()(x), x], -1))

    assert left(built(two), "movement") == []


def test_do_not_pad_words_with_a_value_below_zero():
    def padded(x):
        x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=-1.0)
        return binary_conv(padding="valid")(x)

    assert left(built(padded), "padding") == []


def test_do_not_pad_channels_of_words():
    def padded(x):
        return binary_conv()(tf.pad(x, [[0, 0], [0, 0], [0, 0], [0, 32]]))

    assert left(built(padded), "padding") == []


def test_do_not_fold_a_gain_into_what_something_else_reads():
    def shared(x):
        x = binary_conv()(x)
        return layers.BatchNormalization()(layers.ReLU()(x) + x) + x

    assert len(left(built(shared), "gains")) == 1


def test_do_not_fold_a_gain_of_zero():
    image = tf.keras.Input((8, 8, 64))
    a, b = binary_conv(32)(image), binary_conv(32)(image)
    gain = np.ones(32, np.float32)
    gain[3] = 0
    converted = Converted(randomize(tf.keras.Model(image, tf.abs((a + b) * gain))))
    assert len(left(converted, "gains")) == 1


def test_do_not_fold_an_offset_past_a_border_of_zeros():
    def padded(x):
        x = layers.PReLU(shared_axes=[1, 2])(x)
        x = LearnableBias()(x)
        return layers.Conv2D(8, 3, padding="same")(x)

    assert len(left(built(padded), "offsets")) == 1


def test_do_not_fold_an_offset_that_leaves_the_file():
    def offset(x):
        return LearnableBias()(layers.PReLU(shared_axes=[1, 2])(x))

    assert left(built(offset), "offsets") == []


def test_do_not_fold_an_offset_past_an_activation():
    def activated(x):
        x = LearnableBias()(layers.PReLU(shared_axes=[1, 2])(x))
        return layers.PReLU(shared_axes=[1, 2])(x)

    assert len(left(built(activated), "offsets")) == 1


def test_do_not_fold_an_offset_that_differs_within_the_image():
    table = np.random.default_rng(0).normal(size=(8, 8, 64)).astype("f")

    def positions(x):
        x = layers.PReLU(shared_axes=[1, 2])(x)
        return binary_conv()(x + table)

    assert left(built(positions), "offsets") == []


def test_do_not_drop_a_threshold():
    def thresholds(x):
        x = layers.PReLU(shared_axes=[1, 2])(x)
        return QuantConv2D(
            32, 1, input_quantizer="approx_sign", kernel_quantizer="scaled_sign"
        )(LearnableBias()(x)) + binary_conv(32, 1)(x)

    assert left(built(thresholds), "offsets") == []


def test_do_not_join_sums_that_something_else_reads():
    def shared(x):
        y = layers.ReLU()(x) + tf.abs(x)
        return y + x + tf.square(y)

    assert "ADD_N" in types(built(shared).optimized("sums"))  # the outer two only

    def pair(x):
        y = layers.ReLU()(x) + tf.abs(x)
        return tf.concat([y + x, y], -1)

    assert left(built(pair), "sums") == []


def test_do_not_join_sums_of_different_shapes():
    def broadcast(x):
        mean = tf.reduce_mean(x, [1, 2], keepdims=True)
        return layers.ReLU()(x) + mean + tf.abs(x)

    assert left(built(broadcast), "sums") == []
