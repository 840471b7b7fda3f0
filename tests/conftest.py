import signal

import larq_bcd  # noqa: F401  (settles Keras before other modules import larq)

# isort: split

import numpy as np
import pytest
import tensorflow as tf
from conversion_models import small_model
from hypothesis import settings

from larq_bcd.convert.graph import InferenceGraph
from larq_bcd.convert.lce import convert_model
from larq_bcd.tflite.graph import Graph

# One example may trace a Keras layer, which takes longer than hypothesis likes.
settings.register_profile("larq_bcd", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("larq_bcd")


@pytest.fixture(autouse=True)
def clean_keras():
    tf.keras.utils.set_random_seed(0)
    yield
    tf.keras.mixed_precision.set_global_policy("float32")
    tf.keras.backend.set_image_data_format("channels_last")
    tf.keras.backend.clear_session()


@pytest.fixture
def interrupts_raise():
    """A process that was started in the background ignores interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def small():
    return small_model()


@pytest.fixture(scope="session")
def small_file(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "small.keras"
    small.save(path)
    return path


@pytest.fixture
def converted():
    """Converts a model without any pass: Keras's graph and the file's as it comes."""

    def run(model):
        content, _ = convert_model(model)
        return InferenceGraph(model), Graph(content)

    return run
