import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larq_bcd.data import stream

GROUPS = st.lists(st.integers(1, 9), min_size=1, max_size=12).map(np.array)


def sequence(groups, seed, count, position=0, size=7):
    """The examples of `count` positions of the stream."""
    found = {}
    for window in stream.windows(groups, seed, position, size):
        for place, example in enumerate(window.examples):
            found[window.position + place] = example
        if window.position + len(window.examples) >= position + count:
            return [found[position + i] for i in range(count)]
    return None


@given(GROUPS, st.integers(0, 2**40))
def test_every_epoch_has_every_example_once(groups, seed):
    total = groups.sum()
    examples = sequence(groups, seed, 3 * total)
    for epoch in range(3):
        seen = examples[epoch * total : (epoch + 1) * total]
        assert sorted(seen) == list(range(total))


@given(GROUPS, st.integers(0, 100), st.integers(0, 200))
def test_the_stream_is_the_same_from_every_position(groups, seed, position):
    whole = sequence(groups, seed, position + 30)
    assert sequence(groups, seed, 30, position) == whole[position:]


@given(GROUPS, st.integers(1, 4), st.integers(1, 3), st.integers(0, 50))
def test_shares_of_all_processes_are_the_batches_of_one(groups, count, batch, step):
    steps = 10
    first = step * batch * count

    def stream_of(shard, share):
        pairs = []
        for window in stream.windows(groups, 5, first, 7):
            pairs += zip(*stream.share(window, first, share, shard), strict=True)
            if window.position > first + steps * batch * count:
                return pairs[: steps * share]
        return None

    whole = stream_of((0, 1), batch * count)
    parts = [stream_of((i, count), batch) for i in range(count)]
    for k in range(steps):
        of_step = [pair for part in parts for pair in part[k * batch : (k + 1) * batch]]
        assert of_step == whole[k * batch * count : (k + 1) * batch * count]


def test_order_changes_with_epoch_and_seed_and_is_not_the_sources():
    groups = np.ones(500, np.int64)
    first, second = np.array_split(sequence(groups, 0, 1000), 2)
    other = sequence(groups, 1, 500)
    for a, b in ((first, second), (first, other), (first, range(500))):
        assert np.mean(np.array(a) == np.array(b)) < 0.02


def test_a_window_mixes_the_examples_of_its_groups():
    groups = np.full(8, 100)
    (window,) = (next(stream.windows(groups, 0, size=400)),)
    files = window.examples // 100
    assert len(set(files)) == 4
    for part in np.array_split(files, 4):
        assert len(set(part)) == 4


@pytest.mark.parametrize("size", [1, 10**6])
def test_window_size_changes_nothing_about_what_an_epoch_holds(size):
    assert sorted(sequence(np.array([3, 4, 2]), 7, 9, size=size)) == list(range(9))
