import sys
import types

import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, randomize, renamed

from larq_bcd.convert.lce import convert_model
from larq_bcd.tflite.engines import (
    FASTEST,
    LCE,
    LCE_INDIRECT,
    REFERENCE,
    RUNTIME,
    TFLITE,
    EngineError,
    open_engine,
)

layers = tf.keras.layers


@pytest.fixture(scope="module")
def plain():
    """A model of two inputs and two outputs without a binary layer, and its file."""
    image, vector = tf.keras.Input((6, 5, 3), name="a"), tf.keras.Input(4, name="b")
    x = layers.Flatten()(layers.Conv2D(2, 3)(image))
    x = layers.Concatenate()([x, vector])
    outputs = [layers.Dense(3, name="c")(x), layers.Dense(2, name="d")(x)]
    model = randomize(tf.keras.Model([image, vector], outputs))

    return model, tf.lite.TFLiteConverter.from_keras_model(model).convert()


@pytest.fixture(scope="module")
def binary():
    image = tf.keras.Input((6, 6, 64))
    x = binary_conv(32, 3)(image)
    model = randomize(tf.keras.Model(image, layers.GlobalAveragePooling2D()(x)))
    return model, convert_model(model)[0]


def inputs(model, count):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(count, *x.shape[1:])).astype(np.float32) for x in model.inputs]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", [LCE, LCE_INDIRECT, TFLITE])
def test_every_engine_takes_several_inputs_and_samples(plain, name, count):
    model, content = plain
    engine = open_engine(content, 1, [name])
    assert (engine.name, engine.refused, str(engine)) == (name, {}, name)
    x = inputs(model, count)
    # The file's own order is another one.
    found = engine.predict(*sorted(x, key=np.ndim))
    by_size = [sorted(outputs, key=np.size) for outputs in (found, map(np.array, model(x)))]
    for ours, theirs in zip(*by_size, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("pad_values", [0.0, 1.0])
def test_a_convolution_of_groups_runs_on_the_indirect_kernels(pad_values):
    image = tf.keras.Input((8, 8, 128))
    x = binary_conv(128, 3, groups=2, pad_values=pad_values)(image)
    model = randomize(tf.keras.Model(image, x))
    engine = open_engine(convert_model(model)[0], 1, REFERENCE)
    assert engine.name == LCE_INDIRECT
    assert "Grouped binary convolutions are not supported" in engine.refused[LCE]
    assert str(engine).startswith(f"{LCE_INDIRECT}, since {LCE} cannot run the file: ")
    (x,) = inputs(model, 1)
    np.testing.assert_array_equal(engine.predict(x)[0], model(x))


def test_a_file_that_nothing_can_run_says_why(binary):
    _, content = binary
    with pytest.raises(EngineError, match=r"nothing on this.*Larq.*: .*TensorFlow Lite"):
        open_engine(renamed(content, "LceBconv2d", "UnheardOf_"), 1)


def test_a_file_of_custom_operators_does_not_run_on_tensorflow_lite(binary):
    with pytest.raises(EngineError, match="LceQuantize"):
        open_engine(binary[1], 1, [TFLITE])


class ModelError(RuntimeError):
    """As that of larq_bcd_runtime."""


def stand_in(monkeypatch, refusal=None):
    """Stands in for larq_bcd_runtime, and keeps the threads and samples it was given."""
    runtime = types.ModuleType("larq_bcd_runtime")
    given = []

    class Interpreter:
        def __init__(self, content, num_threads):
            if refusal:
                raise refusal
            self._threads = num_threads
            self._engine = open_engine(content, 1, REFERENCE)

        def predict(self, x):
            given.append((self._threads, len(x)))
            return self._engine.predict(x)[0]

    runtime.ModelError, runtime.Interpreter = ModelError, Interpreter
    monkeypatch.setitem(sys.modules, "larq_bcd_runtime", runtime)
    return given


def test_the_runtime_comes_first_with_samples_side_by_side(binary, monkeypatch):
    model, content = binary
    given = stand_in(monkeypatch)
    engine = open_engine(content, 4, FASTEST)
    assert engine.name == RUNTIME
    (x,) = inputs(model, 7)
    np.testing.assert_allclose(engine.predict(x)[0], model(x), atol=1e-5)
    assert sorted(given) == [(1, 1), (1, 2), (1, 2), (1, 2)]
    given.clear()
    engine.predict(x[:1])
    assert given == [(4, 1)]


@pytest.mark.parametrize("kind", [ModelError, ImportError, OSError])
def test_a_runtime_that_refuses_gives_way(binary, monkeypatch, kind):
    stand_in(monkeypatch, kind("no PRELU"))
    engine = open_engine(binary[1], 1)
    assert engine.name == LCE_INDIRECT
    assert engine.refused == {RUNTIME: "no PRELU"}


def test_without_the_runtime_nothing_is_said_of_it(binary, monkeypatch):
    monkeypatch.setitem(sys.modules, "larq_bcd_runtime", None)
    assert str(open_engine(binary[1], 1)) == LCE_INDIRECT
