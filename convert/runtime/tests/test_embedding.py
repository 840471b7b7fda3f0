"""Means and fully connected layers: bit by bit in the order of summation that is defined."""

import numpy as np
import pytest
from embedding import EmbeddingGraph, embedded_network, statistics_network
from equations import CLAMPS, NONE, fully_connected, mean, pack
from files import same_bits
from hypothesis import assume, given
from hypothesis import strategies as st
from test_fusion import assert_fusing_changes_nothing, react_block

from larq_bcd_runtime import Interpreter
from larq_bcd_runtime.delegate import runtime


def claimed(file: bytes, **options) -> list[str]:
    stretches = Interpreter(file, **options).describe()
    stages = [stage for stretch in stretches for stage in stretch["stages"]]
    return [name for stage in stages for _, name in stage["operators"]]


def all_give(file: bytes, inputs: np.ndarray, expected: np.ndarray, kernels: str) -> None:
    """Asserts the first output, with and without fusing, for any kernels and threads."""
    for options in ({"kernels": kernels}, {"kernels": kernels, "num_threads": 3},
                    {"kernels": kernels, "fuse": False}, {"kernels": "reference"}):  # fmt: skip
        got, _ = Interpreter(file, **options).predict(inputs, batch_size=len(inputs))
        same_bits(got, expected)


def names_of(stage) -> list[str]:
    return [name for _, name in stage["operators"]]


def mean_file(height, width, channels, keep_dims=False, axes=(1, 2)) -> bytes:
    graph = EmbeddingGraph(0, height, width)
    x = graph.floats(channels)
    y = graph.mean(x, keep_dims, axes)
    return graph.file.build([x], [y, graph.signs(y)])


@given(
    samples=st.integers(1, 3), height=st.integers(1, 9), width=st.integers(1, 9),
    channels=st.integers(1, 200), keep_dims=st.booleans(), seed=st.integers(0, 999),
    axes=st.sampled_from([(1, 2), (2, 1), (-3, -2), (1, -2)]),
)  # fmt: skip
def test_any_mean(kernels, samples, height, width, channels, keep_dims, seed, axes):
    images = np.random.default_rng(seed).normal(size=(samples, height, width, channels))
    images = images.astype(np.float32)
    file = mean_file(height, width, channels, keep_dims, axes)
    expected = mean(images)
    shape = (samples, 1, 1, channels) if keep_dims else (samples, channels)
    all_give(file, images, expected.reshape(shape), kernels)


@given(
    samples=st.integers(1, 3), height=st.integers(1, 9), width=st.integers(1, 9),
    channels=st.sampled_from([8, 20, 32, 48, 64, 96]), doubles=st.booleans(),
    threads=st.integers(1, 3), seed=st.integers(0, 999),
)  # fmt: skip
def test_a_mean_of_what_a_stage_computes(
    kernels, samples, height, width, channels, doubles, threads, seed
):
    assume(not doubles or channels % 32 == 0)  # LCE's concatenations are of whole words
    graph = EmbeddingGraph(seed, height, width)
    x = graph.floats(channels)
    z = react_block(graph, x, channels, doubles)
    y = graph.mean(z)
    images = graph.rng.normal(size=(samples, height, width, channels)).astype(np.float32)
    options = {"kernels": kernels, "num_threads": threads}
    shown = Interpreter(graph.file.build([x], [z, y]), **options)
    assert ["MEAN"] in [names_of(stage) for stage in shown.describe()[0]["stages"]]
    activation, result = shown.predict(images, batch_size=samples)
    same_bits(result, mean(activation))
    hidden = Interpreter(graph.file.build([x], [y]), **options)
    same_bits(hidden.predict(images, batch_size=samples), result)
    # Nobody else reads the activation: it is not stored.
    written = [stage["bytes_written"] for stage in hidden.describe()[0]["stages"]]
    sums = samples * -(-height * width // 12) * (1 + doubles) * channels * 4
    if kernels != "reference":
        assert written[-2:] == [sums, samples * (1 + doubles) * channels * 4]


def test_a_mean_beside_a_vector_for_all_samples(kernels):
    graph = EmbeddingGraph(0, 5, 5)
    entry = graph.floats(32)
    x = graph.abs(entry, 32)
    vector = graph.abs(graph.constant(32), 32)
    graph.file.tensors[vector].shape = np.array([32], np.int32)
    z = graph.binary("ADD", graph.convolve(graph.quantize(x, 32), 32, 32), x, 32)
    y = graph.mean(z)
    shifted = graph.binary("ADD", z, vector, 32)
    images = graph.rng.normal(size=(3, 5, 5, 32)).astype(np.float32)
    interpreter = Interpreter(graph.file.build([entry], [z, y, shifted]), kernels=kernels)
    activation, result, _ = interpreter.predict(images, batch_size=3)
    same_bits(result, mean(activation))


def test_sums_are_not_bytes_of_the_file():
    (plan,) = Interpreter(mean_file(5, 5, 64)).describe()
    image, vector, words = 25 * 64 * 4, 64 * 4, 8
    assert plan["operator_bytes"] == image + 2 * vector + words
    assert plan["largest_live"] == 0  # what enters and leaves is the caller's


def test_means_of_what_is_not_ordinary(kernels):
    images = np.zeros((1, 2, 3, 70), np.float32)
    images[..., :40] = -0.0
    images[0, 0, 1, 40:] = np.inf
    images[0, 1, 1, 50:60] = -np.inf
    images[0, 1, 2, 60:] = np.nan
    with np.errstate(invalid="ignore"):
        expected = mean(images)
    got, signs = Interpreter(mean_file(2, 3, 70), kernels=kernels).predict(images)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    numbers = ~np.isnan(expected)
    same_bits(got[numbers], expected[numbers])
    same_bits(signs, pack(expected < 0))


@given(
    samples=st.integers(1, 3), inputs=st.integers(1, 70), outputs=st.integers(1, 150),
    has_bias=st.booleans(), activation=st.sampled_from(list(CLAMPS)), keep_dims=st.booleans(),
    is_image=st.booleans(), seed=st.integers(0, 999),
)  # fmt: skip
def test_any_fully_connected_layer(
    kernels, samples, inputs, outputs, has_bias, activation, keep_dims, is_image, seed
):
    graph = EmbeddingGraph(seed, 1, 1)
    weights = graph.rng.normal(size=(outputs, inputs)).astype(np.float32)
    bias = graph.rng.normal(size=outputs).astype(np.float32) if has_bias else None
    x = graph.file.tensor((1, 1, 1, inputs) if is_image else (1, inputs))
    y = graph.fully_connected(x, weights, bias, activation, keep_dims)
    file = graph.file.build([x], [y, graph.signs(y)])
    vectors = graph.rng.normal(size=(samples, inputs)).astype(np.float32)
    expected = fully_connected(vectors, weights, bias, activation)
    tensor = graph.file.tensors
    entry = vectors.reshape(samples, *tensor[x].shape[1:])
    all_give(file, entry, expected.reshape(samples, *tensor[y].shape[1:]), kernels)


@pytest.mark.parametrize(("inputs", "outputs"), [(1024, 1000), (128, 512), (33, 130)])
def test_layers_that_threads_share(kernels, inputs, outputs):
    graph = EmbeddingGraph(1, 1, 1)
    x = graph.file.tensor((1, inputs))
    weights = graph.rng.normal(size=(outputs, inputs)).astype(np.float32)
    y = graph.fully_connected(x, weights)
    vectors = graph.rng.normal(size=(2, inputs)).astype(np.float32)
    file = graph.file.build([x], [y, graph.signs(y)])
    all_give(file, vectors, fully_connected(vectors, weights), kernels)


def test_a_layer_agrees_with_the_runtime():
    graph = EmbeddingGraph(2, 1, 1)
    x = graph.file.tensor((1, 100))
    y = graph.connect(x, 77)
    alone = runtime().Interpreter(model_content=graph.file.build([x], [y]))
    alone.allocate_tensors()
    vector = graph.rng.normal(size=(1, 100)).astype(np.float32)
    alone.set_tensor(alone.get_input_details()[0]["index"], vector)
    alone.invoke()
    expected = alone.get_tensor(alone.get_output_details()[0]["index"])
    got, _ = Interpreter(graph.file.build([x], [y, graph.signs(y)])).predict(vector)
    # Which order XNNPACK takes is its own choice, by version and machine.
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("channels", [20, 32, 64])
@pytest.mark.parametrize("threads", [1, 3])
def test_embedded_networks(kernels, channels, threads):
    graph = EmbeddingGraph(channels, 7, 9)
    entry, logits = embedded_network(graph, channels, 10)
    file = graph.file.build([entry], [logits])
    assert_fusing_changes_nothing(file, kernels, threads)
    images = np.random.default_rng(0).normal(size=(2, 7, 9, channels)).astype(np.float32)
    expected = Interpreter(file, kernels="reference").predict(images)
    same_bits(Interpreter(file, kernels=kernels, num_threads=threads).predict(images), expected)


def test_a_vector_is_reshaped_and_taken_from_a_constant(kernels):
    graph = EmbeddingGraph(0, 1, 1)
    x = graph.file.tensor((1, 37))
    constant = graph.rng.normal(size=37).astype(np.float32)
    moved = graph.reshape(x, (-1, 1, 1, 37))
    y = graph.subtract_from(graph.file.constant(constant), moved)
    file = graph.file.build([x], [y, graph.signs(y)])
    assert claimed(file) == ["RESHAPE", "SUB", "LceQuantize"]
    vectors = graph.rng.normal(size=(3, 37)).astype(np.float32)
    all_give(file, vectors, (constant - vectors)[:, None, None], kernels)


def test_values_of_each_sample_beside_those_of_all(kernels):
    graph = EmbeddingGraph(0, 3, 3)
    graph.size = (2, 3, 3)
    x, each, everyone = graph.floats(32), graph.file.tensor((2, 1, 1, 32)), graph.floats(32)
    mean = graph.mean(everyone, axes=(0, 1, 2))
    graph.file.tensors[mean].shape = np.array([32], np.int32)
    y = graph.convolve(graph.quantize(graph.abs(x, 32), 32), 32, 32)
    y = graph.binary("ADD", graph.binary("ADD", y, each, 32), mean, 32)
    assert_fusing_changes_nothing(graph.file.build([x, each, everyone], [y]), kernels, 2)


@pytest.mark.parametrize("axis", [3, -1, [3], [-1]])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_a_vector_is_split(kernels, axis, parts):
    graph = EmbeddingGraph(0, 1, 1)
    x = graph.file.tensor((1, 1, 1, 6 * 7))
    split = graph.split(x, parts, axis)
    file = graph.file.build([x], [*split, *(graph.signs(part) for part in split)])
    assert claimed(file).count("SPLIT") == parts
    vectors = graph.rng.normal(size=(3, 1, 1, 42)).astype(np.float32)
    for options in ({}, {"fuse": False}, {"num_threads": 2}):
        interpreter = Interpreter(file, kernels=kernels, **options)
        got = interpreter.predict(vectors, batch_size=3)[:parts]
        for part, expected in zip(got, np.split(vectors, parts, axis=3)):
            same_bits(part, expected)


@pytest.mark.parametrize("threads", [1, 3])
def test_thresholds_of_channel_statistics(kernels, threads):
    graph = EmbeddingGraph(0, 6, 5)
    entry, result = statistics_network(graph, 64)
    file = graph.file.build([entry], [result])
    assert len(Interpreter(file).describe()) == 1
    assert_fusing_changes_nothing(file, kernels, threads)


def test_an_embedding_cuts_no_stretch():
    graph = EmbeddingGraph(0, 8, 8)
    entry, logits = embedded_network(graph, 32, 10)
    file = graph.file.build([entry], [logits])
    (stretch,) = Interpreter(file).describe()
    embedding = ["MEAN", *["FULLY_CONNECTED"] * 2, "RESHAPE", "SUB", "FULLY_CONNECTED"]
    names = [names_of(stage) for stage in stretch["stages"]]
    alone = [stage[0] for stage in names if len(stage) == 1 and not stage[0].startswith("Lce")]
    # Before the first convolution nothing is there to add up the pixels with.
    assert sorted(alone) == sorted(["MEAN"] + 2 * embedding + ["MEAN", "FULLY_CONNECTED"])
    assert ["MEAN" in name for name in names if "LceBconv2d" in name] == [True, True]
    means = [stage for stage, name in zip(stretch["stages"], names) if name == ["MEAN"]]
    traffic = [(stage["bytes_read"], stage["bytes_written"]) for stage in means]
    image, sums, vector = 64 * 32 * 4, 6 * 32 * 4, 32 * 4  # 64 pixels are five dozen and four
    assert traffic == [(image, sums), (sums, vector), (sums, vector), (2 * sums, 2 * vector)]


def test_what_does_not_touch_binary_operators_is_left():
    graph = EmbeddingGraph(0, 8, 8)
    x = graph.floats(32)
    assert claimed(graph.file.build([x], [graph.connect(graph.mean(x), 5)])) == []


def changed(make) -> bytes:
    graph = EmbeddingGraph(0, 4, 4)
    x = graph.floats(4)
    y = make(graph, x)
    return graph.file.build([x], [y, graph.signs(y)])


def over(axes, shape):
    def make(graph, x):
        y = graph.mean(x, axes=axes)
        graph.file.tensors[y].shape = np.array(shape, np.int32)
        return y

    return make


def computed_weights(graph, x):
    pooled = graph.mean(x)
    weights = graph.abs(graph.file.constant(np.ones((5, 4), np.float32)), 4)
    graph.file.tensors[weights].shape = np.array((5, 4), np.int32)
    y = graph.fully_connected(pooled, np.ones((5, 4), np.float32))
    graph.file.operators[-1].inputs[1] = weights
    return y


@pytest.mark.parametrize(
    ("make", "left"),
    [
        (over((1,), (1, 4, 4)), "MEAN"),
        (over((2, 3), (1, 4)), "MEAN"),
        (over((0, 1, 2), (4,)), "MEAN"),
        (computed_weights, "FULLY_CONNECTED"),
        (lambda g, x: g.fully_connected(x, np.ones((5, 4), np.float32), keep_dims=True),
         "FULLY_CONNECTED"),  # more than one vector for a sample
    ],
    ids=["one axis", "channels", "samples", "weights that are computed", "every pixel"],
)  # fmt: skip
def test_what_is_another_case_is_left_to_litert(make, left):
    file = changed(make)
    assert left not in claimed(file)
    result, _ = Interpreter(file).predict(np.ones((1, 4, 4, 4), np.float32))
    assert np.isfinite(result).all()


@pytest.mark.parametrize("activation", [a for a in CLAMPS if a != NONE])
def test_an_activation_lets_what_is_not_a_number_pass(kernels, activation):
    graph = EmbeddingGraph(0, 1, 1)
    x = graph.file.tensor((1, 2))
    y = graph.fully_connected(x, np.eye(2, dtype=np.float32), None, activation)
    file = graph.file.build([x], [y, graph.signs(y)])
    got, _ = Interpreter(file, kernels=kernels).predict(np.full((1, 2), np.nan, np.float32))
    assert np.isnan(got).all()
