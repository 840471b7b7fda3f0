"""What larq_bcd, which converts and evaluates, does with this package where it is installed."""

import numpy as np
import pytest
from larq_bcd.convert import convert
from larq_bcd.models import get_model, model_info
from larq_bcd.training.classifiers import FileClassifier


@pytest.fixture(scope="module", params=["BCDNetB", "DyBCNN18"])
def converted(request):
    name = request.param
    model = get_model(name, **model_info(name).reduced)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "variance" not in weight.name:
            weight.assign(weight + 0.1 * rng.normal(size=weight.shape))
    return model, convert(model)


def test_the_check_of_a_conversion_runs_here(converted):
    _, result = converted
    report = result.report.check
    assert report.runs_on == "larq_bcd_runtime, the first on Larq Compute Engine"
    assert report.faults == []
    assert report.same_arg_max == report.inputs == 8


def test_evaluation_runs_here(converted, tmp_path):
    model, result = converted
    (tmp_path / "model.tflite").write_bytes(result.content)
    classifier = FileClassifier(tmp_path / "model.tflite", threads=2)
    assert classifier.runs_on == "larq_bcd_runtime"
    images = np.random.default_rng(1).normal(size=(5, *model.input_shape[1:]))
    logits = classifier(images.astype(np.float32))
    np.testing.assert_array_equal(logits.argmax(1), model(images).numpy().argmax(1))
