import numpy as np
import pytest
import tensorflow as tf
from hypothesis import settings

import larq_bcd  # noqa: F401  (settles Keras before the test modules import larq)

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
def rng():
    return np.random.default_rng(0)
