import hashlib
import inspect

import numpy as np
import pytest
from helpers import randomize

from larq_bcd import models
from larq_bcd.errors import UserError
from larq_bcd.models import get_model, list_models, model_info, registry

REDUCED = dict(model_info("ReActNetA").reduced)


def test_every_network_of_the_package_is_registered_under_its_name():
    functions = {name for name in models.__all__ if inspect.isfunction(getattr(models, name))}
    helpers = {"copy_weights", "get_model", "list_models", "model_info", "with_training_heads"}
    assert set(list_models()) == functions - helpers
    for name in list_models():
        assert model_info(name).build is getattr(models, name)


@pytest.mark.parametrize("name", list_models())
def test_signature_and_docstring_name_every_argument_once(name):
    build = model_info(name).build
    documented = inspect.getdoc(build)
    for argument in inspect.signature(build).parameters:
        assert documented.count(f"\n    {argument}: ") == 1
    assert model_info(name).paper.arxiv in documented
    assert ("A reconstruction: " in documented) == (model_info(name).reconstruction is not None)


def test_a_network_is_built_by_name():
    model = get_model("ReActNetA", **{**REDUCED, "name": "mine"})
    assert model.name == "mine"
    assert model.output_shape == (None, REDUCED["num_classes"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bcdnet_b", r"'bcdnet_b' is not the name of a network: did you mean 'BCDNetB'"),
        ("ReactNet-A", r"did you mean 'ReActNetA'"),
        ("BCDNteB", r"did you mean 'BCDNetB'"),
        ("VGG", r"choose one of .*BCDNetA, .*ReActNetA"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, message):
    with pytest.raises(UserError, match=message):
        get_model(name)


def test_an_unknown_argument_is_named():
    with pytest.raises(TypeError, match=r"ReActNetA: .*'widht'"):
        get_model("ReActNetA", widht=0.5)


def test_published_weights_load_by_name_and_only_if_they_are_the_published_ones(
    rng, tmp_path, monkeypatch
):
    source = get_model("ReActNetA", **REDUCED)
    randomize(source, rng)
    file = tmp_path / "published.weights.h5"
    source.save_weights(file)
    (tmp_path / ".keras").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    published = model_info("ReActNetA").weights
    assert isinstance(published, dict)
    monkeypatch.setitem(published, "test", registry.Weights(file.as_uri(), digest))
    loaded = get_model("ReActNetA", weights="test", **REDUCED)
    image = rng.normal(size=(1, 16, 16, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded(image), source(image))
    monkeypatch.setitem(published, "damaged", registry.Weights(file.as_uri(), "0" * 64))
    (tmp_path / ".keras" / "larq_bcd" / file.name).unlink()
    with pytest.raises(UserError, match="is not the published one, whose SHA-256 is 000"):
        get_model("ReActNetA", weights="damaged", **REDUCED)
