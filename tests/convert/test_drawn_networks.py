"""Networks that hypothesis draws: converted, and run by Keras, the runtime and the engine."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from drawn_networks import FAMILIES, networks
from engine_files import binary_part, engine_file, random_values
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from larq_compute_engine.mlir.python.util import strip_lcedequantize_ops

from larq_bcd.convert import CheckError, ConversionError, convert
from larq_bcd.convert.check import check
from larq_bcd.convert.converter import ConverterError
from larq_bcd.convert.graph import InferenceGraph
from larq_bcd.convert.inputs import noise
from larq_bcd.convert.match import match_layers
from larq_bcd.tflite.engines import LCE, LCE_INDIRECT, RUNTIME, EngineError, open_engine
from larq_bcd.tflite.graph import Graph
from larq_bcd.tflite.operators import DEQUANTIZE, LCE_OPERATORS
from larq_bcd.tflite.signs import unpack_signs

# The converter takes a SteTern for a sign: its own file computes something else.
_TAKEN_FOR_A_SIGN = "for a plain sign, which it is not"
SEEDS, EACH = range(3), 17


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", SEEDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_drawn_computes_the_same_in_keras_and_everywhere(
    family, number, monkeypatch, capsys
):
    outcomes = Counter()

    @seed(number)
    @settings(
        max_examples=EACH,
        phases=[Phase.generate],
        database=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(networks(family))
    def sweep(drawn):
        note(repr(drawn))
        outcomes[_outcome(drawn, monkeypatch)] += 1
        tf.keras.backend.clear_session()

    sweep()
    with capsys.disabled():
        for outcome, count in outcomes.most_common():
            print(f"\n{family}, seed {number}: {count} {outcome}", end="")


def _outcome(drawn, monkeypatch):
    """What became of a network, in a word."""
    model = drawn.model
    inputs = noise(model, 2)
    try:
        result = convert(model, inputs, options=drawn.options, allow_float_fallback=True)
    except (CheckError, ConversionError) as refusal:
        return f"refused: {refusal}, and {_fault_of_the_engine_s(model, monkeypatch)}"
    if any(_TAKEN_FOR_A_SIGN in fault for fault in result.report.check.faults):
        assert any("ste_tern" in part for part in drawn.parts)
        return f"refused, and rightly so: {_TAKEN_FOR_A_SIGN}"
    result.require_equal()
    report = result.report
    assert {layer.name for layer in report.fallbacks} == drawn.unsupported
    binary = {layer.name for layer in report.layers if layer.ships_as == "binary"}
    assert binary == drawn.binary
    assert [one.name for one in report.inputs] == model.input_names
    assert [one.name for one in report.outputs] == model.output_names
    _has_the_same_bits(result.content)
    _can_be_stripped(result.content, inputs)
    return _beside_the_engine_s(result, model, inputs, monkeypatch)


def _has_the_same_bits(content):
    """The runtime's results of the binary operators are the engine's, bit by bit."""
    if not Graph(content).nodes_of(*LCE_OPERATORS):
        return
    binary, given = binary_part(content)
    rng = np.random.default_rng(0)
    values = [random_values(value, rng) for value in given]
    ours = open_engine(binary, 1, [RUNTIME]).predict(*values)
    theirs = open_engine(binary, 1, [LCE, LCE_INDIRECT]).predict(*values)
    for our, their in zip(ours, theirs, strict=True):
        assert our.tobytes() == their.tobytes()


def _can_be_stripped(content, inputs):
    """Signs that are an output can be had as words, by the engine's own tool."""
    if not any(v.producer and v.producer.type == DEQUANTIZE for v in Graph(content).outputs):
        return
    stripped = strip_lcedequantize_ops(content)
    for engines in ([RUNTIME], [LCE, LCE_INDIRECT]):
        signs, words = (
            open_engine(file, 1, engines).predict(*inputs) for file in (content, stripped)
        )
        for sign, word in zip(signs, words, strict=True):
            found = unpack_signs(word, sign.shape[-1]) if word.dtype == np.int32 else word
            np.testing.assert_array_equal(found, sign)


def _fault_of_the_engine_s(model, monkeypatch):
    """Why there is no file to be had of the engine's converter either."""
    try:
        file = engine_file(model, monkeypatch)
    except ConverterError as error:
        return f"the engine's own converter says {error}"
    with pytest.raises(EngineError) as raised:
        open_engine(file.write(), 1, [LCE, LCE_INDIRECT])
    return f"of the engine's own file it says {raised.value}"


def _are_equal_to_rounding(found, expected):
    # A dense layer of signs that ships as a convolution has sums of integers.
    return np.allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max(initial=0))


def _beside_the_engine_s(result, model, inputs, monkeypatch):
    """What the file is beside that of the engine's own converter, in a word."""
    try:
        theirs = engine_file(model, monkeypatch)
    except ConverterError as error:
        return f"converted, though the engine's own converter says {error}"
    plain = Graph(result.plain)
    if [one.shape for one in theirs.inputs] != [one.shape for one in plain.inputs]:
        return "converted, for a batch that the engine's own file has not"
    try:
        engine = open_engine(theirs.write(), 1, [LCE, LCE_INDIRECT])
    except EngineError as error:
        return f"converted, though of the engine's own file it says {error}"
    expected = engine.predict(*inputs)
    found = open_engine(result.plain, 1, [LCE, LCE_INDIRECT]).predict(*inputs)
    if all(map(_are_equal_to_rounding, found, expected)):
        return "converted, with the results of the engine's own file"
    graph = InferenceGraph(model)
    checked = check(graph, theirs, match_layers(graph, theirs), inputs, "noise")
    if checked.faults:
        return "converted, where the engine's own file is wrong"
    assert checked.flips or result.report.check.flips
    return "converted, where the engine's own file has other signs on thresholds"
