import keras
import numpy as np
import pytest

from larq_bcd.convert import convert
from larq_bcd.data import Preprocessing
from larq_bcd.errors import UserError
from larq_bcd.models import describe, feature_stages
from larq_bcd.summary import summarize


@pytest.mark.parametrize(
    "takes_a_model",
    [convert, summarize, feature_stages, lambda model: describe(model, Preprocessing())],
    ids=["convert", "summarize", "feature_stages", "describe"],
)
@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("BCDNetB", "model is a str, not a Keras model: pass one, such as larq_bcd.models"),
        (None, "model is a NoneType, not a Keras model"),
        (np.zeros(3), "model is a ndarray, not a Keras model"),
        (keras.Sequential([keras.layers.Input((8, 8, 3))]), "model is of Keras 3, and this"),
    ],
    ids=["name", "None", "array", "Keras 3"],
)
def test_what_is_no_model_of_keras_2_is_refused(takes_a_model, model, message):
    with pytest.raises(UserError, match=message):
        takes_a_model(model)
