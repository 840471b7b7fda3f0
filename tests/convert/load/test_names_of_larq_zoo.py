import importlib.util

import larq_zoo.sota
import numpy as np
import pytest
import tensorflow as tf
from larq_zoo.sota.quicknet import QuickNetFactory

from larq_bcd.commands.main import lce_convert
from larq_bcd.convert import ConversionError, load_model

NAME = "larq_zoo.sota.QuickNetSmall"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A network of that name which is built in a second."""

    def build(weights):
        return QuickNetFactory(
            section_blocks=(1, 1), section_filters=(32, 64), num_classes=1000, weights=weights
        ).build()

    monkeypatch.setattr(larq_zoo.sota, "QuickNetSmall", build)


@pytest.fixture
def random(small):
    return load_model(NAME, random_weights=True)


def test_a_near_name_is_asked_for():
    with pytest.raises(ConversionError, match=r"did you mean 'larq_zoo\.sota\.QuickNet'"):
        load_model("larq_zoo.sota.QuicNet")
    with pytest.raises(ConversionError, match=r"choose one of larq_zoo\.literature\.BiReal"):
        load_model("larq_zoo.99")


def test_without_larq_zoo_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConversionError, match=r"not installed: run pip install .*zookeeper"):
        load_model(NAME)


def test_without_a_connection_random_weights_are_offered(monkeypatch, tmp_path, capfd):
    def get_file(origin, **_):
        raise Exception(f"URL fetch failure on {origin}: None -- no route")

    monkeypatch.setattr(tf.keras.utils, "get_file", get_file)
    assert lce_convert([NAME, "-o", str(tmp_path / "out.tflite")]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert "quicknet_weights.h5: None -- no route" in error
    assert "--random-weights" in error


def test_a_fault_of_a_network_is_not_called_one_of_the_connection(monkeypatch):
    def get_file(origin, **_):
        raise TypeError("no such argument")

    monkeypatch.setattr(tf.keras.utils, "get_file", get_file)
    with pytest.raises(TypeError, match="no such argument"):
        load_model(NAME)


def test_random_weights_have_statistics_of_data(random):
    assert not random.is_trained
    norms = [one for one in random.model.layers if hasattr(one, "moving_variance")]
    assert all(np.std(norm.moving_mean) > 0 for norm in norms)
    known = random.described()
    assert (known.preprocessing.resize, known.preprocessing.resampling) == (256, "bicubic")
    assert known.class_names is None


def test_published_weights_come_with_preprocessing_and_classes(random, monkeypatch, tmp_path):
    weights = tmp_path / "weights.h5"
    random.model.save_weights(weights)
    monkeypatch.setattr(tf.keras.utils, "get_file", lambda **_: str(weights))
    loaded = load_model(NAME)
    assert loaded.is_trained
    for found, expected in zip(
        loaded.model.get_weights(), random.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    known = loaded.described()
    assert known.preprocessing.input_shape == (224, 224, 3)
    assert known.class_names[:2] == ("tench", "goldfish")
    assert len(known.class_names) == 1000
