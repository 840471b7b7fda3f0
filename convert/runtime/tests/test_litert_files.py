"""Files without any operator of LCE run here as they do in LiteRT alone: nothing is refused."""

import itertools
import re

import numpy as np
import pytest
import tensorflow as tf
from files import same_bits
from flatfile import FlatFile
from keras_layers import LAYERS, RECURRENT, function
from keras_networks import APPLICATIONS, MODES, NETWORKS, convert

from larq_bcd_runtime import Interpreter, ModelError
from larq_bcd_runtime.delegate import runtime

SAMPLES = 3


def random_inputs(interpreter) -> list[np.ndarray]:
    """Returns samples for each input, three times as many as the file takes."""
    rng, arrays = np.random.default_rng(0), []
    for detail in interpreter.get_input_details():
        shape = (SAMPLES * detail["shape"][0], *detail["shape"][1:])
        values = rng.normal(size=shape)
        if detail["dtype"] != np.float32:
            values = rng.integers(0, 2 if detail["dtype"] == np.bool_ else 100, shape)
        arrays.append(values.astype(detail["dtype"]))
    return arrays


def alone(content: bytes, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Returns what a file gives in LiteRT alone, which opens it anew."""
    interpreter = runtime().Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    for detail, values in zip(interpreter.get_input_details(), inputs):
        interpreter.set_tensor(detail["index"], values)
    interpreter.invoke()
    outputs = interpreter.get_output_details()
    return [interpreter.get_tensor(detail["index"]) for detail in outputs]


def agrees(content: bytes) -> None:
    """Asserts the bits of LiteRT, which gets the samples one after the other."""
    inputs = random_inputs(runtime().Interpreter(model_content=content))
    slices = list(zip(*(np.split(values, SAMPLES) for values in inputs)))
    expected = [alone(content, part) for part in slices]
    interpreter = Interpreter(content)
    for given, parts in (slices[0], expected[:1]), (inputs, expected):
        outputs = interpreter.predict(list(given))
        outputs = outputs if isinstance(outputs, list) else [outputs]
        for actual, *of_slices in zip(outputs, *parts):
            same_bits(actual, of_slices[0] if len(parts) == 1 else np.concatenate(of_slices))


# Inputs left out, scales of almost 0, shapes that only the run decides, windows of every kind;
# and what would mix samples, or leave some out.
@pytest.mark.parametrize(
    ("name", "mode"),
    [("conv3d", "float32"), ("gru", "int16"), ("transformer", "dynamic"),
     ("depthwise_without_bias", "int8"), ("Conv3DTranspose", "float32"), ("LSTM", "float32"),
     ("tf_gather_nd", "float32"), ("Reshape_of_one_sample", "float32"),
     ("tf_concat_of_samples", "float32"), ("standardization", "float32"),
     ("Embedding", "float32"), ("Softmax_of_two_axes", "int8")],
)  # fmt: skip
def test_a_file_runs_as_in_litert(name, mode):
    agrees(convert(name, mode))


# What TensorFlow's converter does not quantize, or LiteRT refuses then.
NOT_IN_INT8 = {*RECURRENT, "Conv2D_of_two_tensors"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mode"),
    [*itertools.product(NETWORKS, MODES)]
    + [*itertools.product(APPLICATIONS, ("float32", "int8"))]
    + [*itertools.product(LAYERS, ("float32", "float16", "dynamic"))]
    + [(name, "int8") for name in LAYERS if name not in NOT_IN_INT8],
)
def test_every_file_runs_as_in_litert(name, mode):
    agrees(convert(name, mode))


def test_texts_are_bytes():
    model = function(lambda x: tf.reshape(x, (-1, 2, 2)), (4,), dtype="string")()
    interpreter = Interpreter(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    words = np.array([["a", "bc", "", "d"], ["ef", "g", "h", "ijk"]])
    with pytest.raises(ValueError, match=re.escape("use array.astype(np.bytes_)")):
        interpreter.predict(words)
    words = words.astype(np.bytes_)
    np.testing.assert_array_equal(interpreter.predict(words), words.reshape(2, 2, 2))


def with_shapes(content: bytes, change) -> bytes:
    """Returns a file with other shapes of its inputs or its activations."""
    file, inputs, outputs = FlatFile.read(content)
    for index, tensor in enumerate(file.tensors):
        if tensor.shape is not None and not file.buffers[tensor.buffer]:
            # Without what tells sizes that are open from sizes that are known.
            tensor.shapeSignature = None
            tensor.shape = np.array(change(list(tensor.shape), index in inputs), np.int32)
    return file.build(inputs, outputs)


def larger_input(shape, is_input):
    return [shape[0], *(size + 8 for size in shape[1:3]), shape[3]] if is_input else shape


def another_batch(shape, is_input):
    return shape if is_input else [5, *shape[1:]]


def another_size(shape, is_input):
    return shape if is_input or len(shape) != 4 else [shape[0], 3, 5, shape[3]]


@pytest.mark.parametrize(
    ("name", "change"),
    [("depthwise_without_bias", change) for change in (larger_input, another_size)]
    + [("transformer", change) for change in (another_batch, another_size)],
)
def test_shapes_of_activations_may_be_out_of_date(name, change):
    agrees(with_shapes(convert(name, "dynamic"), change))


def test_shapes_that_disagree_when_they_are_computed_anew_are_refused():
    file = FlatFile()
    entry, other = file.tensor((1, 4, 3)), file.tensor((1, 4, 5))
    between, result = file.tensor((1, 4, 5)), file.tensor((1, 4, 5))
    file.builtin("RELU", [entry], [between])
    file.builtin("MUL", [between, other], [result])
    reason = re.escape("operator 0, RELU: the shape of the output is (1, 4, 5)")
    with pytest.raises(ModelError, match=reason):
        Interpreter(file.build([entry, other], [result]))
