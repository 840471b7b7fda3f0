import numpy as np
import pytest
import tensorflow as tf

from larq_bcd.errors import UserError
from larq_bcd.models import BCDNetA, feature_stages, get_model, list_models, model_info


def test_the_stages_of_bcdnet_are_those_of_the_paper():
    stages = feature_stages(BCDNetA())
    assert [(stage.name, stage.reduction, stage.channels) for stage in stages] == [
        ("block1_1x1_rprelu", 2, 64),
        ("block3_1x1_rprelu", 4, 128),
        ("block5_1x1_rprelu", 8, 256),
        ("block9_1x1_rprelu", 16, 512),
        ("mlp3_point_rprelu", 32, 1024),
    ]


@pytest.mark.parametrize("name", list_models())
def test_every_network_has_stages_and_the_last_are_its_features(name, rng):
    arguments = model_info(name).reduced
    network = get_model(name, **arguments)
    stages = feature_stages(network)
    height, width, _ = arguments["input_shape"]
    for stage in stages:
        size = (height // stage.reduction, width // stage.reduction, stage.channels)
        assert tuple(stage.output.shape[1:]) == size
    reductions = [stage.reduction for stage in stages]
    assert reductions == sorted(set(reductions))
    features = get_model(name, **arguments, include_top=False)
    features.set_weights(network.get_weights()[: len(features.weights)])
    batch = rng.normal(size=(2, *arguments["input_shape"])).astype(np.float32)
    last = tf.keras.Model(network.input, stages[-1].output)(batch)
    np.testing.assert_array_equal(last, features(batch))


def test_an_open_size_is_refused():
    network = get_model(
        "ReActNetA", **{**model_info("ReActNetA").reduced, "input_shape": (None, None, 3)}
    )
    with pytest.raises(UserError, match=r"'reactnet_a' takes \(None, None, None, 3\): build"):
        feature_stages(network)
