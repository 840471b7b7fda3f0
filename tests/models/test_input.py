import keras
import pytest

from larq_bcd.errors import UserError
from larq_bcd.models import BCDNetA, BCDNetB, ReActNetA, model_info


@pytest.mark.parametrize("network", [BCDNetA, BCDNetB])
def test_images_too_small_for_the_strides_are_told_those_that_suit(network):
    with pytest.raises(UserError, match=r"pass \(1, 1, 1, 2, 2, 2\), which leave 4x4"):
        network(input_shape=(32, 32, 3), width=0.125)


def test_a_tensor_of_keras_3_is_told_from_one_of_keras_2():
    tensor = keras.Input((16, 16, 3))
    assert type(tensor).__module__.startswith("keras.")
    arguments = {**model_info("ReActNetA").reduced, "input_shape": None}
    with pytest.raises(UserError, match=r"is of Keras 3.*import larq_bcd first"):
        ReActNetA(input_tensor=tensor, **arguments)
