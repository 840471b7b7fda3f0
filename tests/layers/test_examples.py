"""The examples in the docstrings: each public layer and quantizer has one, and it runs."""

import doctest
import inspect

import pytest

from larq_bcd import activations, layers, quantizers

OBJECTS = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (layers, activations, quantizers)
    for name in module.__all__
}
LINES = 6  # an example is read at a glance


def example_of(name):
    text = inspect.getdoc(OBJECTS[name])
    return doctest.DocTestParser().get_doctest(text, {}, name, None, None)


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_has_a_short_example_that_says_what_comes_out(name):
    examples = example_of(name).examples
    assert 3 <= len(examples) <= LINES
    assert examples[-1].want
    assert any(name.rpartition(".")[2] in example.source for example in examples)


@pytest.mark.parametrize("name", OBJECTS)
def test_an_example_prints_what_it_says(name):
    report = []
    failed, tried = doctest.DocTestRunner().run(example_of(name), out=report.append)
    assert failed == 0, "".join(report)
    assert tried > 0
