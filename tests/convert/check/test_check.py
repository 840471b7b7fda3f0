import sys
import types

import larq as lq
import larq_compute_engine as lce
import numpy as np
import pytest
import tensorflow as tf
from conversion_models import (
    binary_conv,
    corrupted,
    randomize,
    renamed,
    small_model,
    transferred,
)

from larq_bcd.convert import CheckError, convert
from larq_bcd.convert.check import check
from larq_bcd.convert.graph import InferenceGraph
from larq_bcd.convert.inputs import noise
from larq_bcd.convert.lce import convert_model
from larq_bcd.convert.match import match_layers
from larq_bcd.convert.report import describe_check
from larq_bcd.layers import QuantShiftMLP
from larq_bcd.tflite.graph import Graph

layers = tf.keras.layers


def _inputs(model, count=3):
    (x,) = noise(model, count)
    return x


def _check(graph, flatbuffer, matches, x):
    return check(graph, flatbuffer, transferred(matches, flatbuffer), x, "noise")


@pytest.fixture(scope="module")
def sound():
    model = small_model()
    flatbuffer = Graph(convert_model(model)[0])
    graph = InferenceGraph(model)
    return graph, flatbuffer, match_layers(graph, flatbuffer), _inputs(model)


def test_a_sound_flatbuffer_has_no_fault_and_every_sign_is_compared(sound):
    *_, x = sound
    report = _check(*sound)
    assert report.faults == []
    assert [layer.name for layer in report.layers] == ["first", "second"]
    assert report.compared == len(x) * 2 * 5 * 5 * 32
    assert report.max_difference < 1e-4
    assert report.same_arg_max == len(x)
    assert report.unseen == []


def _flip_a_bit(values):
    values[7] ^= 1 << 5


def _shift_a_little(values):
    values[3] += 0.02 * np.abs(values).max()


def _shift_by_a_tenth(values):
    values[3] += 0.1


@pytest.mark.parametrize(
    ("kind", "number", "position", "change", "blamed"),
    [
        ("LceBconv2d", 0, 1, _flip_a_bit, "second"),
        ("LceBconv2d", 1, 1, _flip_a_bit, "the outputs"),
        ("LceBconv2d", 0, 2, _shift_a_little, "second"),
        ("LceBconv2d", 0, 3, _shift_by_a_tenth, "second"),
        ("CONV_2D", 0, 2, _shift_a_little, "first"),
        ("CONV_2D", 0, 1, _shift_a_little, "first"),
        ("PRELU", 0, 1, _shift_a_little, "second"),
        ("FULLY_CONNECTED", 0, 1, _shift_a_little, "the outputs"),
    ],
)
def test_a_corrupted_constant_is_a_fault_of_the_layer_after_it(
    sound, kind, number, position, change, blamed
):
    graph, flatbuffer, matches, x = sound
    operator = flatbuffer.nodes_of(kind)[number]
    broken = corrupted(flatbuffer, operator, position, change)
    report = _check(graph, broken, matches, x)
    assert report.verdict == "fault"
    assert report.faults[0].startswith(blamed)


def test_a_wrong_threshold_of_a_convolution_that_writes_signs_is_a_fault(converted):
    image = x = tf.keras.Input((8, 8, 3))
    x = layers.Conv2D(32, 1)(x)
    x = binary_conv(name="first")(x)
    x = layers.BatchNormalization()(x)
    x = binary_conv(name="second")(x)
    model = randomize(tf.keras.Model(image, x))
    graph, flatbuffer = converted(model)
    matches = match_layers(graph, flatbuffer)
    first = flatbuffer.nodes_of("LceBconv2d")[0]
    assert first.outputs[0].dtype == "int32"
    assert _check(graph, flatbuffer, matches, _inputs(model)).verdict != "fault"
    broken = corrupted(flatbuffer, first, 4, lambda values: np.add(values, 4, out=values))
    report = _check(graph, broken, matches, _inputs(model))
    assert report.faults[0].startswith("second: ")


def _on_the_threshold(sign=None):
    """A model whose value before the first sign is exactly 0 where the image is black."""
    image = x = tf.keras.Input((8, 8, 3))
    x = layers.Conv2D(32, 1, name="stem")(x)
    if sign is None:
        x = binary_conv(name="first")(x)
    else:
        x = binary_conv(name="first", input_quantizer=None)(sign(x))
    x = layers.PReLU(shared_axes=[1, 2])(x)
    x = binary_conv(name="second")(x)
    model = randomize(tf.keras.Model(image, layers.GlobalAveragePooling2D()(x)))
    stem = model.get_layer("stem")
    stem.bias.assign(np.zeros(32))
    inputs = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("f")
    inputs[:, :4] = 0
    return model, inputs


@pytest.mark.parametrize(
    ("offset", "verdict"), [(-1e-8, "equal but for flips"), (-1e-3, "fault"), (0, "equal")]
)
def test_a_flip_at_the_threshold_is_told_from_a_fault(converted, offset, verdict):
    model, x = _on_the_threshold()
    graph, flatbuffer = converted(model)
    matches = match_layers(graph, flatbuffer)
    stem = flatbuffer.nodes_of("CONV_2D")[0]
    moved = corrupted(flatbuffer, stem, 2, lambda v: np.add(v, np.float32(offset), out=v))
    report = _check(graph, moved, matches, x)
    assert report.verdict == verdict
    if verdict == "equal but for flips":
        assert report.layers[0].flips == 4 * 4 * 8 * 32
        assert report.layers[1].flips == 0
        assert report.layers[0].largest_flip == 0
        # The flips spread to the outputs: comparing these alone could not tell.
        assert report.max_difference > 0.1
        assert report.max_difference_on_same_signs < 1e-3
        assert report.difference_from_itself is not None
    else:
        assert (report.difference_from_itself is None) == (verdict == "equal")


@pytest.mark.parametrize(
    "sign",
    [
        lambda x: tf.where(x >= 0, 1.0, -1.0),
        lambda x: tf.where(x < 0, -1.0, 1.0),
        lambda x: tf.where(tf.less_equal(0.0, x), 1.0, -1.0),
        lambda x: tf.where(tf.logical_not(x < 0), 1.0, -1.0),
        lambda x: tf.where(x + 0.25 >= 0.25, 1.0, -1.0),
    ],
)
def test_a_choice_by_a_comparison_is_a_sign(converted, sign):
    model, x = _on_the_threshold(sign)
    graph, flatbuffer = converted(model)
    matches = match_layers(graph, flatbuffer)
    assert all(match.is_binary for match in matches if match.layer.name != "stem")
    stem = flatbuffer.nodes_of("CONV_2D")[0]
    moved = corrupted(flatbuffer, stem, 2, lambda v: np.add(v, np.float32(-1e-8), out=v))
    for file, verdict in ((flatbuffer, "equal"), (moved, "equal but for flips")):
        report = _check(graph, file, matches, x)
        assert report.faults == []
        assert report.unseen == []
        assert report.verdict == verdict


def test_what_flips_make_of_rounding_is_told_by_keras_alone(converted):
    model, x = _on_the_threshold()
    x[:, :4] = 0.3
    stem = model.get_layer("stem")
    kernel = stem.kernel.numpy()
    stem.bias.assign(-tf.nn.conv2d(x[:1, :1, :1], kernel, 1, "VALID").numpy().reshape(-1))
    graph, flatbuffer = converted(model)
    matches = match_layers(graph, flatbuffer)
    node = flatbuffer.nodes_of("CONV_2D")[0]
    moved = corrupted(flatbuffer, node, 2, lambda v: np.nextafter(v, np.float32(-9), out=v))
    report = _check(graph, moved, matches, x)
    assert report.verdict == "equal but for flips"
    assert report.max_difference > 0.1
    assert report.difference_from_itself > 0.1
    assert any("differs from itself" in line for line in describe_check(report))


def test_a_fault_behind_a_flip_is_found(converted):
    model, x = _on_the_threshold()
    graph, flatbuffer = converted(model)
    matches = match_layers(graph, flatbuffer)
    stem = flatbuffer.nodes_of("CONV_2D")[0]
    moved = corrupted(flatbuffer, stem, 2, lambda v: np.add(v, np.float32(-1e-8), out=v))
    second = moved.nodes_of("LceBconv2d")[1]
    report = _check(graph, corrupted(moved, second, 1, _flip_a_bit), matches, x)
    assert report.flips > 0
    assert report.faults[0].startswith("the outputs")


def test_swapped_scales_of_new_branches_are_a_fault(converted):
    image = tf.keras.Input((4, 4, 32))
    initializer = tf.keras.initializers.RandomUniform(0.0, 0.001)
    mlp = QuantShiftMLP(32, kernel_initializer=initializer)(image)
    model = tf.keras.Model(image, mlp, name="a_long_name_for_a_network_of_a_single_layer")
    graph, flatbuffer = converted(model)
    x = _inputs(model)
    assert _check(graph, flatbuffer, match_layers(graph, flatbuffer), x).faults == []
    first, second, _ = flatbuffer.nodes_of("LceBconv2d")
    scales = [node.constant(2) for node in (first, second)]
    swapped = corrupted(flatbuffer, first, 2, lambda values: np.copyto(values, scales[1]))
    second = swapped.nodes_of("LceBconv2d")[1]
    swapped = corrupted(swapped, second, 2, lambda values: np.copyto(values, scales[0]))
    assert _check(graph, swapped, match_layers(graph, swapped), x).verdict == "fault"


def test_a_ternary_quantizer_that_the_converter_takes_for_a_sign_is_a_fault():
    image = tf.keras.Input((8, 8, 3))
    x = layers.Conv2D(32, 1)(image)
    ternary = lq.quantizers.SteTern(threshold_value=0.5)
    x = binary_conv(size=1, input_quantizer=ternary, name="ternary")(x)
    result = convert(randomize(tf.keras.Model(image, x)))
    with pytest.raises(CheckError, match=r"ternary: .*SteTern.* for a plain sign"):
        result.require_equal()


@pytest.mark.parametrize("quantizer", ["dorefa_quantizer", "ste_heaviside"])
def test_other_steps_are_followed_too(quantizer):
    image = tf.keras.Input((8, 8, 3))
    x = layers.Conv2D(32, 1)(image)
    x = binary_conv(input_quantizer=quantizer, pad_values=0.0, name="steps")(x)
    x = binary_conv(name="signs")(layers.PReLU(shared_axes=[1, 2])(x))
    result = convert(randomize(tf.keras.Model(image, x)), allow_float_fallback=True)
    result.require_equal()
    assert result.report.check.unseen == []


def _tied(x, name):
    """A convolution whose sums are 0 again and again, and in float32 nearly so."""
    return binary_conv(kernel_quantizer="scaled_sign", name=name)(x)


@pytest.mark.parametrize(
    ("sign", "is_output"),
    [
        (lq.quantizers.SteSign(), True),
        (lambda x: 2.0 * tf.cast(x >= 0.0, tf.float32) - 1.0, False),
        (lambda x: tf.where(x < 0.0, -tf.ones_like(x), tf.ones_like(x)), True),
        (lambda x: tf.where(tf.zeros_like(x) > x, -tf.ones_like(x), tf.ones_like(x)), False),
    ],
    ids=["sign", "cast", "where", "the other way round"],
)
def test_whatever_is_used_as_a_sign_flips_where_rounding_decides(sign, is_output):
    image = tf.keras.Input((8, 8, 3))
    x = sign(_tied(layers.Conv2D(32, 1)(image), "tied"))
    if not is_output:
        x = layers.Conv2D(4, 1)(x)
    result = convert(randomize(tf.keras.Model(image, x)))
    result.require_equal()
    assert result.report.check.unseen == []
    assert result.report.check.flips > 0


@pytest.mark.parametrize("times", [1, 2])
def test_signs_that_are_signed_again_are_followed_and_a_fault_before_them_is_found(
    converted, times
):
    image = tf.keras.Input((8, 8, 3))
    x = layers.Conv2D(32, 1, name="stem")(image)
    for _ in range(times):
        x = lq.quantizers.SteSign()(x)
    model = randomize(tf.keras.Model(image, binary_conv(name="again")(x)))
    graph, file = converted(model)
    matches, x = match_layers(graph, file), _inputs(model)
    report = _check(graph, file, matches, x)
    assert (report.faults, report.unseen) == ([], [])
    assert [layer.name for layer in report.layers] == ["again"]
    stem = file.nodes_of("CONV_2D")[0]
    changed = corrupted(file, stem, 2, lambda v: np.add(v, 0.5, out=v))
    (fault,) = _check(graph, changed, matches, x).faults
    assert fault.startswith("again: ")
    assert "wrong, at values that are not 0 to rounding" in fault


def test_signs_that_are_signed_again_may_go_into_what_is_not_binary(converted):
    image = tf.keras.Input((8, 8, 3))
    x = layers.Conv2D(32, 1)(image)
    for _ in range(2):
        x = lq.quantizers.SteSign()(x)
    x = layers.Dense(4)(layers.GlobalAveragePooling2D()(x))
    model = randomize(tf.keras.Model(image, x))
    graph, file = converted(model)
    report = _check(graph, file, match_layers(graph, file), _inputs(model))
    assert (report.faults, report.unseen) == ([], [])


def test_another_threshold_is_a_fault(converted):
    image = tf.keras.Input((8, 8, 3))
    x = layers.Conv2D(32, 1)(image)
    x = tf.where(x >= 0.1, tf.ones_like(x), -tf.ones_like(x))
    model = randomize(tf.keras.Model(image, layers.Conv2D(4, 1)(x)))
    graph, file = converted(model)
    x = _inputs(model)
    assert _check(graph, file, match_layers(graph, file), x).faults == []
    (comparison,) = file.nodes_of("GREATER_EQUAL")
    changed = corrupted(file, comparison, 1, lambda v: np.add(v, 0.1, out=v))
    (fault,) = _check(graph, changed, match_layers(graph, changed), x).faults
    assert "wrong, at values that are not 0 to rounding" in fault


NAN, INFINITY = np.float32(np.nan), np.float32(np.inf)


@pytest.fixture
def check_changed(sound):
    """Checks the sound model and file after changes to a variable and a constant."""
    graph, flatbuffer, matches, x = sound
    variables = {variable.name: variable for variable in graph.model.variables}
    kept = {name: variable.numpy() for name, variable in variables.items()}

    def run(name=None, value=None, change=None):
        broken = flatbuffer
        if name is not None:
            changed = kept[name].copy()
            changed.flat[1] = value
            variables[name].assign(changed)
        if change is not None:
            head = flatbuffer.nodes_of("FULLY_CONNECTED")[0]
            broken = corrupted(flatbuffer, head, *change)
        return _check(graph, broken, matches, x)

    yield run
    for name, variable in variables.items():
        variable.assign(kept[name])


def _with(value):
    def change(values):
        values[1] = value

    return 2, change


@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY])
def test_a_value_that_is_not_finite_in_one_of_both_is_a_fault(check_changed, value):
    assert check_changed("fc/bias:0", value).faults[0].startswith("the outputs differ by inf")
    report = check_changed(change=_with(value))
    assert report.faults[0].startswith("the outputs differ by inf")


def _negative(values):
    values *= -3


def test_a_nan_hides_no_other_fault(check_changed):
    assert check_changed("fc/bias:0", NAN, (1, _negative)).verdict == "fault"


def test_nan_before_a_sign_is_a_fault(check_changed):
    # The file makes +1 or -1 of it, and goes on with numbers.
    report = check_changed("stem_bn/gamma:0", NAN)
    assert "first: 75 of 2400 values before its sign are NaN in Keras" in report.faults[1]


def test_a_nan_in_a_batch_norm_is_not_let_out():
    model = small_model()
    gamma = model.get_layer("stem_bn").gamma.numpy()
    gamma[3] = np.nan
    model.get_layer("stem_bn").gamma.assign(gamma)
    with pytest.raises(CheckError) as raised:
        convert(model).require_equal()
    assert "gives NaN alone" in str(raised.value)
    assert "stem_bn/gamma" in str(raised.value)


def test_a_model_of_nothing_but_nan_is_refused_with_the_reason():
    image = tf.keras.Input((4, 4, 3))
    x = layers.Dense(3, name="head")(layers.Flatten()(image))
    model = randomize(tf.keras.Model(image, x))
    model.get_layer("head").bias.assign(np.full(3, np.nan, np.float32))
    with pytest.raises(CheckError, match=r"NaN alone.*head/bias"):
        convert(model).require_equal()


def test_a_factor_widens_every_tolerance(sound):
    graph, flatbuffer, matches, x = sound
    head = flatbuffer.nodes_of("FULLY_CONNECTED")[0]

    def shift(values):
        values[1] += 1e-3

    broken = corrupted(flatbuffer, head, 2, shift)
    matches = transferred(matches, broken)
    assert check(graph, broken, matches, x, "noise").verdict == "fault"
    report = check(graph, broken, matches, x, "noise", tolerance_factor=1e3)
    assert report.verdict == "equal"
    assert report.tolerance_factor == 1e3


def test_several_outputs_are_compared_by_name():
    image = tf.keras.Input((8, 8, 3))
    x = layers.Flatten()(image)
    outputs = [layers.Dense(3, name="z")(x), layers.Dense(3, name="a")(x)]
    result = convert(randomize(tf.keras.Model(image, outputs)))
    result.require_equal()
    assert [output.name for output in result.report.outputs] == ["z", "a"]


def test_a_file_that_nothing_can_run_is_an_error(sound):
    graph, flatbuffer, matches, x = sound
    unknown = Graph(renamed(flatbuffer.write(), "LceQuantize", "UnheardOf__"))
    with pytest.raises(CheckError, match=r"nothing on this machine can run .*Unheard"):
        _check(graph, unknown, matches, x)


def test_a_convolution_of_groups_is_checked_on_the_indirect_kernels():
    image = tf.keras.Input((8, 8, 128))
    x = binary_conv(128, 3, groups=2, name="grouped")(image)
    result = convert(randomize(tf.keras.Model(image, x)))
    result.require_equal()
    report = result.report.check
    assert "Grouped binary convolutions are not supported" in report.runs_on
    assert report.max_difference < 2e-4 * report.output_range


def test_a_result_without_a_check_is_not_equal(small):
    result = convert(small)
    result.report.check = None
    with pytest.raises(CheckError, match="not checked"):
        result.require_equal()


class ModelError(RuntimeError):
    """As that of larq_bcd_runtime."""


def _runtime(predict=None, refusal=None):
    """Stands in for larq_bcd_runtime, and remembers what it was given."""
    runtime = types.ModuleType("larq_bcd_runtime")
    runtime.given = []

    class Interpreter:
        def __init__(self, content, num_threads):
            if refusal:
                raise refusal
            self._engine = lce.testing.Interpreter(content)

        def predict(self, x):
            runtime.given.append(x)
            return predict(self._engine.predict(x)) if predict else self._engine.predict(x)

    runtime.ModelError, runtime.Interpreter = ModelError, Interpreter
    return runtime


def test_all_inputs_but_the_first_run_on_the_runtime_that_is_installed(sound, monkeypatch):
    *_, x = sound
    runtime = _runtime()
    monkeypatch.setitem(sys.modules, "larq_bcd_runtime", runtime)
    report = _check(*sound)
    assert report.runs_on == "larq_bcd_runtime, the first on Larq Compute Engine"
    assert report.faults == []
    assert report.compared == len(x) * 2 * 5 * 5 * 32
    assert len(runtime.given) == 2 * (len(x) - 1)
    np.testing.assert_array_equal(np.concatenate(runtime.given[::2]), x[1:])


def test_a_runtime_that_computes_something_else_is_a_fault(sound, monkeypatch):
    def wrong(outputs):
        if isinstance(outputs, list):
            return outputs
        return outputs + 0.1

    monkeypatch.setitem(sys.modules, "larq_bcd_runtime", _runtime(wrong))
    assert _check(*sound).faults[0].startswith("the outputs differ")


@pytest.mark.parametrize("kind", [ModelError, ImportError, OSError])
def test_a_runtime_that_refuses_a_file_is_named(sound, monkeypatch, kind):
    monkeypatch.setitem(sys.modules, "larq_bcd_runtime", _runtime(refusal=kind("no PRELU")))
    report = _check(*sound)
    wanted = "Larq Compute Engine, since larq_bcd_runtime cannot run the file: no PRELU"
    assert report.runs_on == wanted
    assert report.faults == []


def test_without_the_runtime_all_run_on_the_engine(sound, monkeypatch):
    monkeypatch.setitem(sys.modules, "larq_bcd_runtime", None)
    assert _check(*sound).runs_on == "Larq Compute Engine"
