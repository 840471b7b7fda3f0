import ast
import hashlib
import inspect
import json
import textwrap

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
    helpers |= {"describe", "description_of"}
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


@pytest.mark.parametrize("name", list_models())
def test_the_source_of_a_network_shows_its_signature(name):
    """To an editor, which runs nothing: every argument, its type and its default."""
    build = model_info(name).build
    [function] = ast.parse(textwrap.dedent(inspect.getsource(build))).body
    arguments = [*function.args.args, *function.args.kwonlyargs]
    assert [argument.arg for argument in arguments] == list(inspect.signature(build).parameters)
    assert all(argument.annotation for argument in arguments)
    assert function.args.vararg is function.args.kwarg is None
    assert not {"__signature__", "__wrapped__"} & set(vars(build))
    [*_, handed_on] = function.body
    assert name in [
        value.value for value in ast.walk(handed_on) if isinstance(value, ast.Constant)
    ]


def test_numbers_of_numpy_are_numbers():
    arguments = {
        **model_info("BCDNetA").reduced,
        "num_classes": np.int64(7),
        "strides": np.array([1, 1, 1, 1, 2, 2]),
        "blocks": np.array([1, 1, 1, 2, 1]),
        "mlp_blocks": np.int32(1),
        "short_range": np.int64(1),
        "width": np.float64(0.125),
    }
    model = get_model("BCDNetA", **arguments)
    assert model.output_shape == (None, 7)
    plain = get_model("BCDNetA", **{**model_info("BCDNetA").reduced, "num_classes": 7})
    assert [(w.name, w.shape) for w in model.weights] == [
        (w.name, w.shape) for w in plain.weights
    ]
    assert json.loads(model.to_json())


@pytest.mark.parametrize("classes", [True, 7.0, "7", 0])
def test_other_numbers_of_classes_are_refused(classes):
    with pytest.raises(UserError, match=f"num_classes={classes!r} is not supported"):
        get_model("BCDNetA", num_classes=classes)


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
