import numpy as np

from larq_bcd.convert.check.tolerance import Rounding


class _Clipped:
    """Of ten values eight are clipped, and one rounds to what it was in every run."""

    parameters = ()

    def run(self, x, signs, parameters):
        changed = np.full((1, 10), 3, np.float32)
        changed[0, 8:] = 2.43 * x[0][0, 0], 2.43
        return [changed]


def test_a_value_that_chance_has_not_changed_has_the_tolerance_of_those_that_changed():
    keras = _Clipped()
    x = [np.ones((1, 1), np.float32)]
    rounding = Rounding(keras, [], outputs=0)
    values = keras.run(x, [], ())
    rounding.measure(x, [], values)
    (tolerance,) = rounding.tolerances(values)
    changed, unchanged = tolerance[0, 8:]
    assert unchanged == changed
    assert changed > 2.43 * 20e-6
