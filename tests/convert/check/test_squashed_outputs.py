"""The gate is right in both directions: no correct network is refused, no fault let through."""

import re

import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, corrupted, randomize

from larq_bcd.convert.check import check
from larq_bcd.convert.graph import InferenceGraph
from larq_bcd.convert.lce import convert_model
from larq_bcd.convert.match import match_layers
from larq_bcd.tflite.graph import Graph

layers = tf.keras.layers
AT_ONCE = 5  # heads of each kind on a network, which is converted once for all

# What makes an output of the values of a last layer, and how many values there are.
HEADS = {
    "softmax10": (tf.nn.softmax, 10),
    "softmax1000": (layers.Softmax(), 1000),
    "sigmoid": (tf.nn.sigmoid, 3),
    "one_sigmoid": (tf.nn.sigmoid, 1),
    "tanh": (tf.nn.tanh, 3),
    "one_tanh": (tf.nn.tanh, 1),
    "log_softmax": (tf.nn.log_softmax, 10),
    "embedding": (lambda x: tf.math.l2_normalize(x, axis=-1), 32),
}


def _features(image, rng):
    """What the last layers of a network work on."""
    x = layers.Conv2D(32, 3, strides=2, padding="same")(image)
    x = layers.BatchNormalization()(x)
    x = binary_conv()(x)
    x = layers.BatchNormalization()(x)
    if rng.random() < 0.5:
        x = layers.PReLU(shared_axes=[1, 2])(x)
    return layers.GlobalAveragePooling2D()(x) if rng.random() < 0.5 else layers.Flatten()(x)


def _networks(seed, count):
    """Heads of each kind on the same features, and inputs of different strengths.

    The values before a head vary with the input, by 1 to 100.
    """
    rng = np.random.default_rng(seed)
    image = tf.keras.Input((6, 6, 3))
    features = _features(image, rng)
    heads = []
    for number in range(count):
        for kind, (function, units) in HEADS.items():
            name = f"{kind}_{number}"
            dense = layers.Dense(units, name=name)
            heads.append((name, dense, dense(features), function))
    randomize(tf.keras.Model(image, [logits for _, _, logits, _ in heads]), seed)
    inputs = rng.normal(size=(4, 6, 6, 3)) * rng.uniform(0.2, 3, (4, 1, 1, 1))
    inputs = inputs.astype(np.float32)
    values = tf.keras.Model(image, [logits for _, _, logits, _ in heads])(inputs)
    for (_, dense, _, _), logits in zip(heads, values, strict=True):
        centered = logits.numpy() - logits.numpy().mean(0)
        spread = 2 * np.abs(centered).max()
        factor = np.exp(rng.uniform(0, np.log(100))) / spread
        center = rng.normal(0, 0.1, dense.units) * spread - logits.numpy().mean(0)
        dense.bias.assign((dense.bias + center) * factor)
        dense.kernel.assign(dense.kernel * factor)
    outputs = {name: function(logits) for name, _, logits, function in heads}
    return tf.keras.Model(image, outputs), inputs


def _faults(flatbuffer, graph, inputs):
    matches = match_layers(graph, flatbuffer)
    return check(graph, flatbuffer, matches, inputs, "noise").faults


def _refused(seeds):
    found = {}
    for seed in seeds:
        model, inputs = _networks(seed, AT_ONCE)
        faults = _faults(Graph(convert_model(model)[0]), InferenceGraph(model), inputs)
        tf.keras.backend.clear_session()
        if faults:
            found[seed] = faults
    return found


def test_twenty_networks_are_not_refused_for_how_their_outputs_are_squashed():
    assert _refused(range(20 // AT_ONCE)) == {}


@pytest.mark.slow
def test_two_hundred_networks_are_not_refused_for_how_their_outputs_are_squashed():
    assert _refused(range(100, 100 + 200 // AT_ONCE)) == {}


@pytest.fixture(scope="module")
def confident():
    """A network whose probabilities are 1, and 0 to 1e-20, on every input."""
    tf.keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    image = tf.keras.Input((6, 6, 3))
    dense = layers.Dense(10, name="head")
    model = tf.keras.Model(image, layers.Softmax()(dense(_features(image, rng))))
    randomize(model)
    dense.kernel.assign(dense.kernel * 2)
    dense.bias.assign(np.float32([0, 100, 1, 2, 3, 4, 5, 6, 7, 8]))
    inputs = rng.normal(size=(3, 6, 6, 3)).astype(np.float32)
    probabilities = np.sort(model(inputs).numpy())
    assert probabilities[:, -1].min() > 1 - 1e-6
    flatbuffer = Graph(convert_model(model)[0])
    graph = InferenceGraph(model)
    assert _faults(flatbuffer, graph, inputs) == []
    return graph, flatbuffer, inputs


def _swapped(values):
    """Two of the classes that no input is of."""
    rows = values.reshape(10, -1)
    rows[[3, 5]] = rows[[5, 3]]


def _larger_by_a_hundredth(values):
    values[4] += 0.01 * np.abs(values).max()


def _negative(values):
    values *= -3


@pytest.mark.parametrize(
    ("position", "change"),
    [
        (1, _swapped),
        (2, _swapped),
        (1, _larger_by_a_hundredth),
        (2, _larger_by_a_hundredth),
        (1, _negative),
    ],
)
def test_a_fault_in_the_head_is_found_before_a_confident_softmax(confident, position, change):
    graph, flatbuffer, inputs = confident
    head = flatbuffer.nodes_of("FULLY_CONNECTED")[0]
    faults = _faults(corrupted(flatbuffer, head, position, change), graph, inputs)
    assert faults[0].startswith("the outputs, before their softmax, differ by ")


def test_the_message_quotes_the_numbers_that_decided(confident):
    graph, flatbuffer, inputs = confident
    head = flatbuffer.nodes_of("FULLY_CONNECTED")[0]
    broken = corrupted(flatbuffer, head, 2, _larger_by_a_hundredth)
    fault = _faults(broken, graph, inputs)[0]
    found = re.fullmatch(
        r"the outputs, before their softmax, differ by (\S+) where rounding explains (\S+): "
        r"(\S+) in Keras and (\S+) in the file at \[4\], although every .*",
        fault,
    )
    assert found
    apart, allowed, keras, file = map(float, found.groups())
    assert apart == pytest.approx(1, rel=1e-3)
    assert file - keras == pytest.approx(apart, rel=1e-3)
    assert 0 < allowed < 0.02
