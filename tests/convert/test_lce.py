import logging
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, randomize, small_model

from larq_bcd.commands.main import lce_convert
from larq_bcd.convert import (
    CheckError,
    ConversionError,
    convert,
    converter_process,
    with_input_shapes,
)
from larq_bcd.convert.lce import as_float32, convert_model
from larq_bcd.data import Preprocessing
from larq_bcd.models import describe
from larq_bcd.tflite.engines import LCE, TFLITE
from larq_bcd.tflite.graph import Graph

layers = tf.keras.layers


def without_names(content):
    """A file but for the names of its tensors, in which Keras counts its quantizers."""
    graph = Graph(content)
    for node in graph.nodes:
        for value in (*node.operands, *node.outputs):
            value.name = ""
    return graph.write()


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_the_file_of_mixed_precision_is_that_of_float32(policy, small):
    tf.keras.mixed_precision.set_global_policy(policy)
    model = small_model()
    tf.keras.mixed_precision.set_global_policy("float32")
    assert model.get_layer("first").compute_dtype == policy.removeprefix("mixed_")
    model.set_weights(small.get_weights())
    result = convert(model)
    result.require_binary()
    result.require_equal()
    assert {t.dtype for t in result.report.inputs + result.report.outputs} == {"float32"}
    assert without_names(result.content) == without_names(convert(small).content)


def test_a_float32_model_is_not_copied(small):
    assert as_float32(small) is small


def test_a_copy_has_the_same_weights():
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = small_model()
    np.testing.assert_equal(as_float32(model).get_weights(), model.get_weights())
    assert tf.keras.mixed_precision.global_policy().name == "mixed_bfloat16"


SAVED, GRAPH = (f"convert_{kind}_to_tflite_flatbuffer" for kind in ("saved_model", "graphdef"))
# Does what the test says where one of some functions of the converter is called.
STAND_IN = """
import os, pickle, resource, runpy, signal, sys

library, request, result = sys.argv[1:]
with open(request, "rb") as file:
    function, _ = pickle.load(file)
if function not in {functions!r}:
    runpy.run_path({real!r}, run_name="__main__")
sys.stderr.write(f"loc(x): error: '{{function}}' is at fault\\n")
sys.stderr.flush()
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
{action}
"""
RAISES = """
with open(result, "w") as file:
    file.write(f"{function} failed")
sys.exit(3)
"""


@pytest.fixture
def failing(monkeypatch, tmp_path):
    """Lets functions of the converter fail in a way, after a message on stderr."""

    def fail(*functions, action=RAISES):
        script = tmp_path / "stand_in.py"
        real = converter_process.__file__
        script.write_text(STAND_IN.format(functions=functions, real=real, action=action))
        monkeypatch.setattr(converter_process, "__file__", str(script))

    return fail


def test_the_first_error_of_the_converter_is_shown(small, failing):
    failing(SAVED, GRAPH)
    with pytest.raises(ConversionError, match=f"'{SAVED}' is at fault") as raised:
        convert_model(small)
    assert "\n" not in str(raised.value)
    assert str(raised.value.__cause__) == f"{SAVED} failed"


def test_a_fallback_of_the_converter_is_noted_and_checked(small, failing):
    failing(SAVED)
    result = convert(small)
    assert f"'{SAVED}' is at fault" in result.report.notes[0]
    result.require_equal()


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT"])
def test_a_converter_that_dies_is_an_error_and_its_graph_is_tried(small, failing, name):
    action = f"os.kill(os.getpid(), signal.{name})"
    failing(SAVED, action=action)
    assert convert_model(small)[1][0].startswith("The SavedModel route failed")
    failing(SAVED, GRAPH, action=action)
    with pytest.raises(ConversionError, match="a fault of the converter") as raised:
        convert_model(small)
    assert str(raised.value.__cause__) == f"it died of {name}"


def test_the_command_says_of_what_the_converter_died(small_file, failing, tmp_path, capfd):
    failing(SAVED, GRAPH, action="os.kill(os.getpid(), signal.SIGSEGV)")
    assert lce_convert([str(small_file), "-o", str(tmp_path / "out.tflite")]) == 2
    error = capfd.readouterr().err
    assert "died of SIGSEGV" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.tflite").exists()


@pytest.mark.parametrize("functions", [(SAVED,), (SAVED, GRAPH)])
@pytest.mark.parametrize("action", ["sys.exit(4)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_machine_without_enough_memory_is_named_as_the_cause(
    small, failing, functions, action
):
    failing(*functions, action=action)
    with pytest.raises(
        ConversionError, match=r"not enough memory .* \d+ MB of its weights"
    ) as raised:
        convert_model(small)
    assert isinstance(raised.value.__cause__, MemoryError)


def test_tensorflow_itself_without_enough_memory_is_too(small, monkeypatch):
    def exhausted(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")

    monkeypatch.setattr(tf.saved_model, "save", exhausted)
    with pytest.raises(ConversionError, match="not enough memory"):
        convert_model(small)


def test_where_no_process_can_be_started_it_is_said(small, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(
        ConversionError, match=r"^the converter .* cannot be started .*/python'"
    ):
        convert_model(small)


@pytest.mark.usefixtures("interrupts_raise")
def test_an_interrupt_ends_the_converter(small, failing, monkeypatch):
    """Ctrl-C in a notebook reaches the kernel alone, while the converter computes."""
    failing(SAVED, action="os.kill(os.getppid(), signal.SIGINT); import time; time.sleep(60)")
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        convert_model(small)
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    ("compute", "reason"),
    [
        (lambda x: tf.linalg.svd(x, compute_uv=False), "unresolved custom op: Svd"),
        (lambda x: tf.linalg.svd(x, compute_uv=False), "Leave Svd out of the model"),
        (
            lambda x: tf.quantization.fake_quant_with_min_max_vars_per_channel(
                x, [-1.0, -2.0, -3.0], [1.0, 2.0, 3.0]
            ),
            "have one range for all channels",
        ),
        (lambda x: tf.unique(tf.reshape(x, [-1]))[0], "depend on values"),
        (lambda x: 0.5 * x * tf.math.erfc(-x), "Leave Erfc out of the model"),
        *(
            (
                lambda x, dtype=dtype: tf.cast(binary_conv()(x), dtype),
                "Inputs and outputs may be float32",
            )
            for dtype in ("float16", "float64", "uint16", "uint32", "complex64")
        ),
    ],
)
def test_an_operation_that_the_interpreter_lacks_is_named(compute, reason):
    image = tf.keras.Input((8, 8, 3))
    with pytest.raises(CheckError, match=reason):
        convert(tf.keras.Model(image, compute(image)))


def test_integers_that_the_engine_lacks_are_named():
    x = image = tf.keras.Input((6, 6, 32))
    for _ in range(2):
        x = tf.quantization.fake_quant_with_min_max_vars(x, -2.0, 2.0, num_bits=4)
        x = binary_conv()(x)
    with pytest.raises(ConversionError, match="of 4 bits here: fake-quantize with num_bits=8"):
        convert_model(tf.keras.Model(image, x))


def test_a_comparison_of_values_of_few_bits_is_an_error_with_the_remedy():
    def compared(bits):
        image = tf.keras.Input((6, 6, 3))
        x = tf.keras.layers.Conv2D(8, 3)(image)
        x = tf.quantization.fake_quant_with_min_max_args(x, -2.0, 2.0, num_bits=bits)
        return tf.keras.Model(image, 2.0 * tf.cast(x >= 0.0, tf.float32) - 1.0)

    with pytest.raises(ConversionError, match="fake-quantize with num_bits=8, or behind"):
        convert_model(compared(4))
    convert_model(compared(8))


def test_a_type_that_the_engine_cannot_hand_over_is_checked_on_tensorflow_lite():
    image = tf.keras.Input((8, 8, 3))
    result = convert(tf.keras.Model(image, tf.cast(image, tf.float64)))
    result.require_equal()
    runs_on = result.report.check.runs_on
    assert f"{TFLITE}, since {LCE} cannot run the file: " in runs_on
    assert "invalid output type" in runs_on


def test_nothing_is_left_on_stderr_or_told_in_a_notebook(capfd, caplog):
    model = randomize(tf.keras.Sequential([layers.Input((4, 4, 3)), layers.Conv2D(2, 1)]))
    capfd.readouterr()  # what TensorFlow says where it computes for the first time
    logger = tf.get_logger()
    logger.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, logger.name):  # as in a notebook
        convert_model(model)
        assert logger.level == logging.INFO
    logger.removeHandler(caplog.handler)
    assert caplog.messages == []
    assert capfd.readouterr().err == ""


@tf.keras.utils.register_keras_serializable("tests")
class TwoBranches(layers.Layer):
    """A layer of a user's, with parts of the same shapes."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = (layers.Dense(4, name=name) for name in ("first", "second"))

    def call(self, inputs):
        return self.first(inputs) - 2 * self.second(inputs)


@pytest.mark.parametrize("rebuilt_for", ["precision", "shape", "description"])
def test_what_is_frozen_keeps_its_weights_where_a_model_is_rebuilt(rebuilt_for, rng):
    if rebuilt_for == "precision":
        tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    image = tf.keras.Input((None, 4, 3) if rebuilt_for == "shape" else (4, 4, 3), name="image")
    branches = TwoBranches()
    model = tf.keras.Model(image, layers.GlobalAveragePooling2D()(branches(image)))
    tf.keras.mixed_precision.set_global_policy("float32")
    branches.first.trainable = False
    if rebuilt_for == "precision":
        again = as_float32(model)
    elif rebuilt_for == "shape":
        again = with_input_shapes(model, {"image": (1, 4, 4, 3)})
    else:
        again = describe(model, Preprocessing((4, 4), resize=None))
    x = rng.normal(size=(2, 4, 4, 3)).astype(np.float32)
    tolerance = 0.02 if rebuilt_for == "precision" else 0
    expected = tf.cast(model(x), tf.float32)
    np.testing.assert_allclose(again(x), expected, rtol=tolerance, atol=tolerance)
