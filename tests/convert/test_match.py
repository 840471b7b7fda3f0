import numpy as np
from conversion_models import corrupted, small_model

from larq_bcd.convert.match import has_one_scale, match_layers


def _flip_a_bit(values):
    values[0] ^= 1


def _shift_one_weight(values):
    values[0] += 0.01 * np.abs(values).max()


def test_layers_are_found_by_their_weights_alone(converted):
    graph, flatbuffer = converted(small_model())
    for kind, change, name in [
        ("LceBconv2d", _flip_a_bit, "first"),
        ("CONV_2D", _shift_one_weight, "stem"),
    ]:
        changed = corrupted(flatbuffer, flatbuffer.operators_of(kind)[0], 1, change)
        found = {m.layer.name: m.operator for m in match_layers(graph, changed)}
        assert found.pop(name) is None
        assert None not in found.values()


def test_only_signed_kernels_have_one_scale(converted):
    graph, _ = converted(small_model())
    scales = {layer.name: has_one_scale(layer) for layer in graph.weighted_ops}
    names = {"stem": False, "first": True, "second": True, "fc": False, "fc_dist": False}
    assert scales == names
