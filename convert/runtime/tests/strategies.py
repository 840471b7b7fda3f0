"""Hypothesis strategies: shapes and options of the operators."""

import numpy as np
from equations import NONE, RELU, RELU6, RELU_N1_TO_1, SAME, VALID, Convolution
from hypothesis import strategies as st


@st.composite
def convolutions(draw, max_channels: int = 200) -> Convolution:
    """Any convolution that LCE's operator describes."""
    padding = draw(st.sampled_from([SAME, VALID]))
    window = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    dilations = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    # A VALID window has to fit; a SAME one may be larger than the image.
    smallest = [(w - 1) * d + 1 if padding == VALID else 1 for w, d in zip(window, dilations)]
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    group_in = draw(st.integers(1, max_channels))
    if groups > 1:
        group_in = draw(st.sampled_from([32, 64]))
    return Convolution(
        batch=draw(st.integers(1, 3)),
        height=smallest[0] + draw(st.integers(0, 7)),
        width=smallest[1] + draw(st.integers(0, 7)),
        channels_in=groups * group_in,
        channels_out=groups * draw(st.integers(1, max_channels // groups)),
        window=window,
        strides=draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        dilations=dilations,
        groups=groups,
        padding=padding,
        pad_values=draw(st.sampled_from([0, 1])),
        activation=draw(st.sampled_from([NONE, RELU, RELU_N1_TO_1, RELU6])),
        output=draw(st.sampled_from([np.float32, np.int8, np.int32])),
        seed=draw(st.integers(0, 2**16)),
    )
