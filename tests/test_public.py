import importlib
import inspect
import operator
import pkgutil
import pydoc
import re

import pytest

import larq_bcd

PUBLIC = [
    name
    for _, name, is_package in pkgutil.walk_packages(larq_bcd.__path__, "larq_bcd.")
    if (is_package or name.count(".") == 1) and not name.rpartition(".")[2].startswith("_")
]


def test_the_package_shows_all_of_its_parts():
    parts = "convert data evaluation explain training layers models quantizers activations"
    assert set(parts.split()) <= set(dir(larq_bcd))
    for name in dir(larq_bcd):
        assert inspect.ismodule(getattr(larq_bcd, name))
    with pytest.raises(AttributeError, match="no attribute 'speed'"):
        operator.attrgetter("speed")(larq_bcd)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_module_shows_what_it_exports_and_nothing_else(name):
    module = importlib.import_module(name)
    assert dir(module) == sorted(module.__all__)
    for exported in module.__all__:
        assert not inspect.ismodule(getattr(module, exported))


@pytest.mark.parametrize("name", PUBLIC)
def test_the_help_of_a_module_says_what_all_is_and_no_address(name):
    module = importlib.import_module(name)
    for exported in module.__all__:
        documented = getattr(module, exported)
        assert inspect.getdoc(documented)
        text = pydoc.render_doc(documented, renderer=pydoc.plaintext)
        assert re.findall(r".* at 0x[0-9a-f]+.*", text) == []


def test_the_help_of_the_package_names_its_parts():
    told = re.findall(r"\w+", inspect.getdoc(larq_bcd))
    assert set(dir(larq_bcd)) <= set(told)
