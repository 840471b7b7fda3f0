import numpy as np
import pytest
import tensorflow as tf

from larq_bcd.errors import UserError
from larq_bcd.models import model_info
from larq_bcd.training.distillation import DistillingModel
from larq_bcd.training.networks import build_network, freeze
from larq_bcd.training.recipe import Loss, Recipe

REDUCED = dict(model_info("BCDNetA").reduced)


def recipe(trainable):
    stage = {"name": "one", "binary": "all", "epochs": 1, "schedule": {"peak": 0.1}}
    arguments = {
        key: value
        for key, value in REDUCED.items()
        if key not in ("input_shape", "num_classes")
    }
    return Recipe.model_validate(
        {
            "network": "BCDNetA",
            "arguments": arguments,
            "data": {"name": "cifar10"},
            "preprocessing": {"image_size": [16, 16], "resize": None},
            "stages": [{**stage, "trainable": trainable}],
        }
    )


def frozen(trainable):
    chosen = recipe(trainable)
    network = build_network(chosen, 0, 5)
    freeze(chosen, 0, network)
    return network


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ("head", {"fc", "fc_dist"}),
        (["head", "mlp1_point_b*"], {"fc", "fc_dist", "mlp1_point_bn"}),
        ("stem_conv", {"stem_conv"}),
    ],
)
def test_the_layers_that_are_named_are_trained_and_no_others(trainable, expected, rng):
    """The latent kernels too, whose flips are counted."""
    network = frozen(trainable)
    before = {layer.name: layer.get_weights() for layer in network.layers}
    model = DistillingModel(network, Loss())
    model.compile(tf.keras.optimizers.SGD(1.0), run_eagerly=True)
    images = rng.normal(size=(4, 16, 16, 3)).astype(np.float32)
    model.fit(images, np.array([0, 1, 2, 3]), verbose=0)
    changed = {
        layer.name
        for layer in network.layers
        for old, new in zip(before[layer.name], layer.get_weights(), strict=True)
        if (old != new).any()
    }
    assert changed == expected


def test_everything_is_trained_unless_a_stage_says_otherwise():
    assert len(frozen("all").trainable_weights) == len(
        build_network(recipe("all"), 0, 5).trainable_weights
    )


@pytest.mark.parametrize(
    ("trainable", "message"),
    [
        (
            "heads",
            r"stages\.0\.trainable: 'heads' fits no layer of BCDNetA.*`larq-bcd summary",
        ),
        (["head", "stem_con"], r"'stem_con' fits no layer .*did you mean 'stem_conv'"),
    ],
)
def test_a_pattern_that_fits_no_layer_is_named(trainable, message):
    with pytest.raises(UserError, match=message):
        frozen(trainable)
