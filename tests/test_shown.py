import inspect

import larq as lq
import pytest

from larq_bcd import activations, layers, quantizers
from larq_bcd._shown import table
from larq_bcd.convert import convert

CALLS = {
    'QuantConv2D(filters=64, kernel_size=(3, 3), padding="symmetric", use_bias=False, '
    'input_quantizer="approx_sign", kernel_quantizer="scaled_sign", name="conv")': (
        "QuantConv2D(filters=64, kernel_size=(3, 3), padding='symmetric', use_bias=False, "
        "input_quantizer=ApproxSign, kernel_quantizer=ScaledSign, name='conv')"
    ),
    "QuantShiftMLP(8)": "QuantShiftMLP(filters=8)",
    'QuantShiftMLP(8, 2, 3, kernel_initializer="zeros")': (
        "QuantShiftMLP(filters=8, short_range=2, long_range=3, kernel_initializer=Zeros)"
    ),
    "LearnableBias()": "LearnableBias()",
    'RSign(name="sign_1")': "RSign(name='sign_1')",
    "BatchNormalization(momentum=0.9)": "BatchNormalization(momentum=0.9)",
    "MaxPooling2D(3, 2)": "MaxPooling2D(pool_size=(3, 3), strides=(2, 2))",
}


@pytest.mark.parametrize(("call", "shown"), CALLS.items())
def test_a_layer_shows_the_call_that_makes_it(call, shown):
    layer = eval(call, vars(layers))
    assert repr(layer) == shown


def test_quantizers_show_themselves():
    assert repr(quantizers.ScaledSign()) == "ScaledSign()"
    assert repr(quantizers.ScaledSign(clip_value=None)) == "ScaledSign(clip_value=None)"
    assert repr(quantizers.WideSign(2.0)) == "WideSign(clip_value=2.0)"
    assert repr(quantizers.ApproxSign()) == "ApproxSign()"


@pytest.mark.parametrize("module", [layers, activations, quantizers])
def test_none_shows_its_address(module):
    for name in module.__all__:
        kind = getattr(module, name)
        if inspect.isclass(kind):
            assert kind.__repr__ not in (object.__repr__, lq.layers.QuantConv2D.__repr__)


def test_a_result_shows_its_figures_and_not_its_bytes(small):
    result = convert(small)
    for shown in (repr(result), repr(result.report)):
        assert len(shown) < 250
        assert "check equal" in shown
        assert f"file {result.report.file_bytes / 1e3:.1f} kB" in shown
    assert repr(result).startswith(f"<ConversionResult of {result.report.model}: ")
    page = result._repr_html_()
    assert len(page) < 20_000
    for layer in result.report.layers:
        assert f"<td>{layer.name}</td>" in page


def test_text_in_tables_is_escaped():
    assert table([["<b>", "&"]], ["a", "b"]) == (
        "<table><thead><tr><th>a</th><th>b</th></tr></thead>"
        "<tbody><tr><td>&lt;b&gt;</td><td>&amp;</td></tr></tbody></table>"
    )
