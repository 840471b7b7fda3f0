"""A file is data: which of TensorFlow's functions a model may name."""

import inspect
import os
import re
import sys
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.util import tf_export

from larq_bcd.convert import ConversionError
from larq_bcd.convert.load.code import refuse_code
from larq_bcd.convert.load.operations import computes_tensors

# Every name by which a layer of Keras finds a function or class, as Keras looks it up.
SYMBOLS: dict[str, Callable] = tf_export._NAME_TO_SYMBOL_MAPPING


def _is_let_through(name: str) -> bool:
    config = {"class_name": "TFOpLambda", "config": {"name": "layer", "function": name}}
    try:
        refuse_code("model.keras", config)
    except ConversionError:
        return False
    return True


@pytest.fixture(scope="module")
def let_through():
    return sorted(name for name in SYMBOLS if _is_let_through(name))


def test_most_of_what_tensorflow_exports_is_refused(let_through):
    assert len(SYMBOLS) > 7000
    assert 400 < len(let_through) < 600


# Where TensorFlow and Keras keep arithmetic. Functions that touch files, processes, variables,
# graphs or Python are elsewhere: gen_io_ops, file_io, script_ops, data_utils, ...
_ARITHMETIC = re.compile(
    r"tensorflow\.python\.ops\.(gen_)?(array|bitwise|image|linalg|math|nn|spectral|clip|embedding"
    r"|manip|random|sort|special_math|stateless_random)_(ops|impl)(_impl|_stack)?"
    r"|tensorflow\.python\.ops\.(signal\.\w+_ops|linalg\.linalg_impl|confusion_matrix|check_ops"
    r"|tensor_getitem_override)"
    r"|tensorflow\.python\.framework\.tensor_conversion"
    r"|tf_keras\.src\.(activations|backend|losses|metrics\.accuracy_metrics)"
)


def test_what_is_let_through_stands_in_modules_of_arithmetic(let_through):
    modules = {name: inspect.unwrap(SYMBOLS[name]).__module__ for name in let_through}
    elsewhere = {n: m for n, m in modules.items() if not _ARITHMETIC.fullmatch(m)}
    assert elsewhere == {}


class Sandbox:
    """Calls functions, and notes what they do besides making operations on tensors."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / "file"
        self.file.write_text("1")
        self.events: list[str] = []
        self.is_watching = False
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple) -> None:
        if self.is_watching and (
            event.startswith(("subprocess", "socket", "os.system", "os.exec", "os.fork"))
            or str(self.folder) in str(arguments)
        ):
            self.events.append(event)

    def effects(self, function: Callable, values: list) -> tuple[set[str], bool]:
        """What a call has done, and whether it has made operations without an error."""
        self.events.clear()
        with tf.Graph().as_default() as graph:
            self.is_watching = True
            try:
                function(*values)
                failed = False
            except Exception:  # of whatever kind: the arguments are seldom those it wants
                failed = True
            finally:
                self.is_watching = False
            definition = graph.as_graph_def()
        nodes = [*definition.node]
        for inner in definition.library.function:
            nodes += inner.node_def
        found = {node.op for node in nodes if not computes_tensors(node.op)}
        found |= set(self.events)
        if not self.file.exists() or os.listdir(self.folder) != ["file"]:
            found.add("changes files")
        return found, bool(nodes) and not failed


@pytest.fixture
def sandbox(tmp_path):
    return Sandbox(tmp_path)


def _required(function: Callable) -> int:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return 1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is p.empty for p in parameters) or 1


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("io.read_file", ["file"]),
        ("io.write_file", ["file", "2"]),
        ("io.gfile.remove", ["file"]),
        ("io.gfile.rmtree", [""]),
        ("io.gfile.mkdir", ["new"]),
        ("keras.utils.save_img", ["new.png", np.zeros((1, 1, 3))]),
        ("py_function", [print, [1.0], "float32"]),
        ("print", ["hello"]),
        ("summary.create_file_writer", ["new"]),
    ],
)
def test_the_sandbox_sees_what_is_not_arithmetic(sandbox, name, values):
    places = ("file", "new", "new.png", "")
    paths = [
        str(sandbox.folder / v) if isinstance(v, str) and v in places else v for v in values
    ]
    effects, _ = sandbox.effects(SYMBOLS[name], paths)
    assert effects
    assert not _is_let_through(name)


def test_what_is_let_through_makes_nothing_of_a_path(sandbox, let_through):
    for name in let_through:
        function = SYMBOLS[name]
        values = [str(sandbox.file)] * _required(function)
        assert sandbox.effects(function, values)[0] == set(), name


@pytest.mark.slow
def test_what_is_let_through_makes_operations_on_tensors_alone(sandbox, let_through):
    made = set()
    for name in let_through:
        function = SYMBOLS[name]
        for values in _values():
            count = _required(function)
            effects, is_made = sandbox.effects(
                function, [value() if callable(value) else value for value in values * count]
            )
            assert effects == set(), name
            if is_made:
                made.add(name)
    assert len(made) > 0.7 * len(let_through)


def _values():
    """Arguments, each of which many functions take; made where the graph is."""
    return [
        [lambda: tf.constant([[1.0, 2.0], [3.0, 4.0]])],
        [lambda: tf.ones((1, 4, 4, 4))],
        [lambda: tf.constant([1, 2])],
        [lambda: tf.constant([[True, False]])],
        [lambda: [tf.ones((2, 2))] * 2],
        [1],
        ["float32"],
    ]
