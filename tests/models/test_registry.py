import ast
import inspect
import json
import sys

import mypy.api
import numpy as np
import pytest

from larq_bcd import models
from larq_bcd.errors import UserError
from larq_bcd.models import get_model, list_models, model_info

REDUCED = dict(model_info("ReActNetA").reduced)


def test_every_network_of_the_package_is_registered_under_its_name():
    functions = {name for name in models.__all__ if inspect.isfunction(getattr(models, name))}
    helpers = {"copy_weights", "get_model", "list_models", "model_info", "with_training_heads"}
    helpers |= {"describe", "description_of", "decode_predictions", "preprocess_input"}
    helpers |= {"feature_stages"}
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


def function_of(source: ast.Module, name: str) -> ast.FunctionDef:
    [function] = [x for x in source.body if getattr(x, "name", "") == name]
    return function


def arguments_of(function: ast.FunctionDef) -> dict[str, str]:
    """The default of each argument, as the source has it; all have a type."""
    found = function.args
    assert all(argument.annotation for argument in [*found.args, *found.kwonlyargs])
    assert found.vararg is found.kwarg is None
    defaults = [None] * (len(found.args) - len(found.defaults)) + found.defaults
    every = zip([*found.args, *found.kwonlyargs], defaults + found.kw_defaults, strict=True)
    return {argument.arg: ast.unparse(default) for argument, default in every if default}


@pytest.mark.parametrize("name", list_models())
def test_the_source_of_a_network_shows_its_signature(name):
    """To an editor, which runs nothing: every argument, its type and its default."""
    build = model_info(name).build
    module = sys.modules[build.__module__]
    function = function_of(ast.parse(inspect.getsource(module)), name)
    [decorator] = function.decorator_list
    shown, names = arguments_of(function), dict(vars(module))
    if decorator.func.id == "variant":
        assert function.end_lineno - decorator.lineno < 30
        family = eval(ast.unparse(decorator.args[0]), names)
        home = sys.modules[family.__module__]
        names = {**vars(home), **names}
        of_family = arguments_of(
            function_of(ast.parse(inspect.getsource(home)), family.__name__)
        )
        # The family shows no default that is not the network's: a wrong one would deceive.
        assert {key for key, default in of_family.items() if default == "OWN"} == set(shown)
        shown = {**of_family, **shown}
    signature = inspect.signature(build).parameters
    assert list(shown) == list(signature)
    for key, default in shown.items():
        assert eval(default, names) == signature[key].default


@pytest.mark.slow
def test_a_type_checker_knows_the_arguments_of_a_network(tmp_path):
    program = "from larq_bcd.models import BCDNetB\nBCDNetB(width='wide')\nBCDNetB(widht=1)\n"
    file = tmp_path / "program.py"
    file.write_text(program)
    options = ["--ignore-missing-imports", f"--cache-dir={tmp_path}"]
    report, *_ = mypy.api.run([*options, str(file)])
    assert 'incompatible type "str"; expected "float"' in report
    assert 'Unexpected keyword argument "widht"' in report


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


def test_names_are_listed_by_pattern():
    assert list_models("BCDNet*") == ["BCDNetA", "BCDNetA18", "BCDNetB", "BCDNetB18"]
    assert list_models("*cct14") == ["BinaryCCT14", "DyBinaryCCT14"]
    assert list_models("VGG*") == []


def test_an_unknown_argument_is_answered_with_the_nearest():
    with pytest.raises(TypeError, match=r"BCDNetA: .*'classes'; did you mean 'num_classes'"):
        get_model("BCDNetA", classes=10)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bcdnet_b", r"'bcdnet_b' is not the name of a network: did you mean 'BCDNetB'"),
        ("ReactNet-A", r"did you mean 'ReActNetA'"),
        ("BCDNteB", r"did you mean 'BCDNetB'"),
        ("VGG", r"choose one of .*BCDNetA, .*ReActNetA"),
        (3, r"3 is not the name of a network: choose one of"),
        (["BCDNetB"], r"\['BCDNetB'\] is not the name of a network"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, message):
    with pytest.raises(UserError, match=message):
        get_model(name)


@pytest.mark.parametrize("pattern", [None, 3, ["BCDNet*"]])
def test_a_pattern_that_is_no_text_is_refused(pattern):
    with pytest.raises(UserError, match=r"pattern=.* is not supported: pass a text"):
        list_models(pattern)


def test_what_is_asked_of_trained_weights_is_said_where_to_find():
    with pytest.raises(UserError, match=r"model_info\('BCDNetB'\)\.weights"):
        model_info("BCDNetB:cifar10")


def test_an_unknown_argument_is_named():
    with pytest.raises(TypeError, match=r"ReActNetA: .*'widht'"):
        get_model("ReActNetA", widht=0.5)
