import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, randomize

from larq_bcd.convert import convert
from larq_bcd.convert.lce import convert_model
from larq_bcd.convert.passes import separate_states
from larq_bcd.tflite.engines import REFERENCE, TFLITE, open_engine
from larq_bcd.tflite.graph import Graph, has_states

layers = tf.keras.layers


def sequence(*recurrent, batch=None):
    x = steps = tf.keras.Input((5, 3), batch_size=batch, name="steps")
    for layer in recurrent:
        x = layer(x)
    return randomize(tf.keras.Model(steps, x))


@pytest.fixture(scope="module")
def lstm():
    return sequence(layers.LSTM(4), batch=1)


def test_the_states_of_an_lstm_are_one_in_the_converter_s_file_and_two_in_ours(lstm):
    plain = Graph(convert_model(lstm)[0])
    x = np.random.default_rng(0).normal(size=(3, 5, 3)).astype(np.float32)
    expected = np.concatenate([lstm(one[None]) for one in x])
    (wrong,) = open_engine(plain.write(), 1, (TFLITE,)).predict(x)
    assert np.abs(wrong - expected).max() > 0.01
    assert separate_states(plain).changed == ["UNIDIRECTIONAL_SEQUENCE_LSTM"]
    assert separate_states(plain).changed == []
    assert has_states(plain.write())
    # Each sample begins anew, on every engine.
    for prefer in (REFERENCE, (TFLITE,)):
        (right,) = open_engine(plain.write(), 1, prefer).predict(x)
        np.testing.assert_allclose(right, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "recurrent",
    [
        (layers.LSTM(4),),
        (layers.LSTM(4, return_sequences=True), layers.LSTM(4)),
        (layers.Bidirectional(layers.LSTM(4)),),
        (layers.GRU(4),),
        (layers.SimpleRNN(4),),
    ],
    ids=["LSTM", "two of a size", "both directions", "GRU", "SimpleRNN"],
)
def test_a_recurrent_network_of_an_open_batch_is_converted(recurrent):
    result = convert(sequence(*recurrent))
    result.require_equal()
    assert "An open batch cannot be converted" in result.report.notes[0]


def test_a_file_that_remembers_says_so(lstm):
    result = convert(lstm)
    result.require_equal()
    assert "share their memory" in result.report.changes[0]
    (note,) = result.report.notes
    assert "goes on where the run before has ended" in note
    assert "reset_all_variables" in note


def test_binary_layers_before_an_lstm_are_checked_on_their_interpreter():
    x = image = tf.keras.Input((6, 6, 3), batch_size=1)
    x = binary_conv(8)(layers.Conv2D(8, 3)(x))
    model = randomize(tf.keras.Model(image, layers.LSTM(4)(layers.Reshape((16, 8))(x))))
    result = convert(model)
    result.require_binary()
    result.require_equal()
