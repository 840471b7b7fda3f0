"""What larq_bcd, which converts and evaluates, does with this package where it is installed."""

import numpy as np
import pytest
from larq_bcd.convert import FileOptions, convert
from larq_bcd.convert.html_report import html_report
from larq_bcd.convert.profile import profile
from larq_bcd.evaluation.classifiers import FileClassifier
from larq_bcd.models import get_model, list_models, model_info

from larq_bcd_runtime import Interpreter
from larq_bcd_runtime.benchmark import measure

RUNS_ON = "larq_bcd_runtime, the first on Larq Compute Engine"


def network(name):
    model = get_model(name, **model_info(name).reduced)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "variance" not in weight.name:
            weight.assign(weight + 0.1 * rng.normal(size=weight.shape))
    return model


@pytest.fixture(scope="module")
def converted():
    model = network("BCDNetB")
    return model, convert(model)


def test_the_check_of_a_conversion_runs_here(converted):
    _, result = converted
    report = result.report.check
    assert report.runs_on == RUNS_ON
    assert report.faults == []
    assert report.same_arg_max == report.inputs == 8


@pytest.mark.parametrize("count", [1, 5])
def test_evaluation_runs_here(converted, tmp_path, count, capfd):
    model, result = converted
    (tmp_path / "model.tflite").write_bytes(result.content)
    classifier = FileClassifier(tmp_path / "model.tflite", threads=2)
    assert classifier.runs_on == "larq_bcd_runtime"
    assert capfd.readouterr().err == ""
    images = np.random.default_rng(1).normal(size=(count, *model.input_shape[1:]))
    images = images.astype(np.float32)
    logits = np.concatenate([Interpreter(result.content).predict(x[None]) for x in images])
    np.testing.assert_allclose(classifier(images), logits, rtol=0, atol=1e-5)


def test_the_times_of_a_page_are_those_of_this_package(converted):
    model, result = converted
    found = profile(result.content)
    assert found.engine == "larq_bcd_runtime"
    assert found.whole
    own = measure(Interpreter(result.content, profile=True), "", threads=1, runs=10)
    assert found.milliseconds < 3 * own.median_ms
    assert any("LceBconv2d" in one.type for one in found.operators)
    page = html_report(result.report, found)
    assert f"One input takes {found.milliseconds:.2f} ms by larq_bcd_runtime" in page
    rounded = convert(model, options=FileOptions(head="int8")).report.rounding
    assert rounded.timed_on == ("larq_bcd_runtime", "larq_bcd_runtime")


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"head": "int8"}, {"head": "float16"}], ids=str)
@pytest.mark.parametrize("name", list_models())
def test_every_network_is_served(name, options):
    model = network(name)
    result = convert(model, allow_float_fallback=True, options=FileOptions(**options))
    assert result.report.check.runs_on == RUNS_ON
    assert result.report.check.faults == []
    images = np.zeros((1, *model.input_shape[1:]), np.float32)
    for content in (result.plain, result.content):
        assert np.isfinite(Interpreter(content).predict(images)).all()
