import numpy as np
import pytest

from larq_bcd.convert.check.score import distance, score_step, score_supposed, worst_difference
from larq_bcd.convert.check.tolerance import Rounding
from larq_bcd.convert.errors import CheckError

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("a", "b", "apart"),
    [
        (1.0, 3.0, 2.0),
        (NAN, NAN, 0.0),
        (INF, INF, 0.0),
        (-INF, -INF, 0.0),
        (INF, -INF, INF),
        (NAN, 1.0, INF),
        (1.0, NAN, INF),
        (NAN, INF, INF),
        (INF, 1.0, INF),
    ],
)
def test_what_is_not_finite_is_the_same_or_infinitely_far(a, b, apart):
    assert distance(np.float32([a]), np.float32([b])) == [apart]


def test_shapes_that_differ_are_an_error():
    with pytest.raises(CheckError, match="shape"):
        distance(np.zeros((1, 2)), np.zeros((1, 3)))


def test_the_worst_difference_is_that_of_most_tolerances():
    keras, file = np.float32([[0, NAN, 5, 9]]), np.float32([[0.2, NAN, 5.1, 9]])
    worst = worst_difference(keras, file, np.array([[1.0, 1.0, 0.01, 1.0]]))
    assert worst.index == (0, 2)
    assert worst.ratio == pytest.approx(10, rel=1e-3)
    assert worst_difference(keras, keras, np.zeros((1, 4))).ratio == 0
    assert worst_difference(keras, file, np.zeros((1, 4))).ratio == INF


def test_a_sign_of_nan_is_wrong_and_one_near_the_threshold_a_flip():
    before = np.float32([NAN, 1e-9, -2, -INF])
    after = np.float32([1, -1, 1, -1])
    score = score_step("", before, after, np.float32([1e-6]))
    assert (score.undefined, score.flips, score.wrong) == (1, 1, 2)
    assert score.largest_flip == pytest.approx(1e-9)


def test_a_rounding_of_nan_is_nan():
    before = np.float32([NAN, 0.5000001, 3.0, INF])
    score = score_step("Round", before, np.float32([NAN, 0, 4, INF]), np.float32([1e-6]))
    assert (score.flips, score.wrong) == (1, 1)
    assert score_step("Round", before, np.float32([1, 1, 3, INF]), np.float32([1])).wrong == 1


def test_a_supposed_sign_of_nan_is_wrong():
    expected = np.float32([NAN, 1, 0])
    score = score_supposed(expected, np.float32([1, 1, 1]), [np.float32([NAN, 1, 1])] * 3)
    assert (score.undefined, score.wrong, score.flips) == (1, 1, 1)


class _Graph:
    """A graph of one value: a multiple of its input."""

    def __init__(self, factors):
        self.parameters = [np.float32(factors)]

    def run(self, x, signs, parameters=None):
        (factors,) = self.parameters if parameters is None else parameters
        return [x * factors]


@pytest.mark.parametrize("outputs", [0, 1])
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_value_that_is_not_finite_makes_no_tolerance_so(outputs, bad):
    factors = np.float32([[1, bad, 100, 1e-10]])
    graph = _Graph(factors)
    rounding = Rounding(graph, [], outputs)
    x = np.ones((1, 4), np.float32)
    rounding.measure(x, [], graph.run(x, []))
    (tolerance,) = rounding.tolerances(graph.run(x, []))
    assert np.isfinite(tolerance).all()
    # A floor from the largest value: rounding of 1e-10 alone would explain 1e-15.
    assert 1e-5 < tolerance.min() <= tolerance.max() < 1e-2


def test_a_channel_of_a_feature_map_has_a_scale_of_its_own():
    graph = _Graph([1.0, 1e-6])
    rounding = Rounding(graph, [], outputs=0)
    x = np.ones((1, 3, 3, 2), np.float32)
    rounding.measure(x, [], graph.run(x, []))
    (tolerance,) = rounding.tolerances(graph.run(x, []))
    assert tolerance.shape == (1, 1, 1, 2)
    assert tolerance[..., 0] > 1e-5


def test_a_factor_multiplies_a_tolerance():
    graph = _Graph([1.0, 2.0])
    x = np.ones((1, 2), np.float32)
    found = []
    for factor in (1.0, 5.0):
        rounding = Rounding(graph, [], 1, factor=factor)
        rounding.measure(x, [], graph.run(x, []))
        found += rounding.tolerances(graph.run(x, []))
    np.testing.assert_allclose(found[1], 5 * found[0])
