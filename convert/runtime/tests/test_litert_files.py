"""Files without any operator of LCE run here as they do in LiteRT alone: nothing is refused."""

import re
from dataclasses import dataclass

import numpy as np
import pytest
from files import same_bits
from flatfile import FlatFile
from keras_networks import MODES, NETWORKS, convert

from larq_bcd_runtime import Interpreter, ModelError
from larq_bcd_runtime.delegate import runtime


@dataclass
class Stock:
    """A file in LiteRT alone."""

    inputs: list
    outputs: list


def stock(content: bytes) -> Stock:
    interpreter = runtime().Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    rng, inputs = np.random.default_rng(0), []
    for detail in interpreter.get_input_details():
        values = rng.normal(size=detail["shape"])
        if detail["dtype"] != np.float32:
            values = rng.integers(0, 100, detail["shape"])
        inputs.append(values.astype(detail["dtype"]))
        interpreter.set_tensor(detail["index"], inputs[-1])
    interpreter.invoke()
    outputs = interpreter.get_output_details()
    return Stock(inputs, [interpreter.get_tensor(detail["index"]) for detail in outputs])


def agrees(content: bytes) -> None:
    alone = stock(content)
    outputs = Interpreter(content).predict(alone.inputs)
    for actual, expected in zip(
        outputs if isinstance(outputs, list) else [outputs], alone.outputs
    ):
        same_bits(actual, expected)


# Inputs left out, scales of 0, shapes that only the run decides, windows of every kind.
@pytest.mark.parametrize(
    ("name", "mode"),
    [("conv3d", "float32"), ("gru", "int16"), ("transformer", "dynamic"),
     ("depthwise_without_bias", "int8")],
)  # fmt: skip
def test_a_file_runs_as_in_litert(name, mode):
    agrees(convert(name, mode))


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_file_runs_as_in_litert(name, mode):
    agrees(convert(name, mode))


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
