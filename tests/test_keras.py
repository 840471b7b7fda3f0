import os
import subprocess
import sys

import pytest

from larq_bcd import _keras

CONFLICT = "ImportError: larq_bcd needs Keras 2, but this program has already loaded Keras 3: "
PRINT_KERAS = "print(tf.keras.layers.Layer.__module__.split('.')[0])"


def run_program(program, **environment):
    """Runs a program that starts from TensorFlow's own choice of Keras."""
    settled = ("TF_USE_LEGACY_KERAS", "TF_ENABLE_ONEDNN_OPTS")
    env = {key: value for key, value in os.environ.items() if key not in settled}
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**env, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("environment", [{}, {"TF_USE_LEGACY_KERAS": "1"}])
@pytest.mark.parametrize(
    "program",
    [
        "import larq_bcd, tensorflow as tf",
        "import tensorflow as tf, larq_bcd",
        "import tensorflow as tf, larq_bcd; from tensorflow.keras.layers import Dense\n"
        "assert issubclass(Dense, tf.keras.layers.Layer)",
    ],
)
def test_keras_2_is_used_however_the_program_starts(program, environment):
    result = run_program(f"{program}\n{PRINT_KERAS}", **environment)
    assert result.stdout.strip() == "tf_keras", result.stderr


@pytest.mark.parametrize(
    ("own", "expected"), [({}, "1"), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "0")]
)
def test_onednn_is_used_unless_the_program_says_otherwise(own, expected):
    program = "import larq_bcd, os; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    assert run_program(program, **own).stdout.strip() == expected


def test_a_program_that_asked_for_keras_2_may_use_it_first():
    program = f"import tensorflow as tf\ntf.keras.layers.Dense\nimport larq_bcd\n{PRINT_KERAS}"
    result = run_program(program, TF_USE_LEGACY_KERAS="1")
    assert result.stdout.strip() == "tf_keras", result.stderr


@pytest.mark.parametrize(
    "use", ["tf.keras.layers.Dense", "tf.losses.MSE", "from tensorflow.keras import layers"]
)
def test_keras_3_in_use_is_one_sentence(use):
    result = run_program(f"import tensorflow as tf\n{use}\nimport larq_bcd")
    assert result.returncode == 1
    message = result.stderr.splitlines()[-1]
    assert message.startswith(CONFLICT)
    assert "import larq_bcd before" in message
    assert "TF_USE_LEGACY_KERAS=1" in message


def test_import_prints_nothing():
    result = run_program("import larq_bcd")
    assert (result.stdout, result.stderr) == ("", "")


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ({"tensorflow": "2.15.1"}, r"tensorflow>=2.18,<2.22, but 2.15.1 .*pip install"),
        ({"tensorflow": "2.22.0"}, r"tensorflow>=2.18,<2.22, but 2.22.0 .*pip install"),
        ({"tensorflow": None}, r"needs tensorflow, which is not installed"),
        ({"tf-keras": "2.17.0"}, r"tf-keras 2.17.0 does not fit .*'tf-keras==2\.\d+\.\*'"),
        ({"tf-keras": None}, r"needs tf-keras, which is not installed"),
        ({"larq": "0.13.1"}, r"needs larq>=0.14, but 0.13.1 .*pip install 'larq>=0.14'"),
        ({"larq-compute-engine": None}, r"needs larq-compute-engine, which is not installed"),
    ],
)
def test_packages_that_cannot_work_are_named_with_the_remedy(monkeypatch, versions, message):
    installed = _keras.metadata.version

    def version(distribution):
        found = versions.get(distribution, "installed")
        if found is None or (found != "installed" and distribution not in versions):
            raise _keras.metadata.PackageNotFoundError(distribution)
        return installed(distribution) if found == "installed" else found

    monkeypatch.setattr(_keras.metadata, "version", version)
    with pytest.raises(ImportError, match=message):
        _keras.check_packages()


def test_a_protobuf_that_empties_tensorflow_datasets_is_reported(monkeypatch):
    def import_module(name):
        raise RuntimeError(f"gencode of {name} is newer than the runtime")

    monkeypatch.setattr(_keras.importlib, "import_module", import_module)
    with pytest.raises(ImportError, match=r"tensorflow_datasets would be empty.*pip install"):
        _keras.check_packages()
