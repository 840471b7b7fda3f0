"""The order in which examples are seen: a function of the seed and the position alone.

Training sees one endless stream of examples. Step k of a global batch of B examples takes
the positions k B to (k + 1) B - 1, whoever reads them: one process, or each of several its
part. So a run goes on at any step as if it had never stopped, without replaying anything.

In each epoch the groups of examples that lie together (the files of a prepared data set)
are put in random order and gathered to windows, and each window is shuffled. A window is
larger than the shuffle buffers in use elsewhere, and nothing but the window at hand has to
be located. Where every example is a file, an epoch is one random permutation.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_WINDOW = 16_384


@dataclass(frozen=True)
class Window:
    """A run of the stream.

    Attributes:
        position: of its first example in the stream.
        examples: numbers of its examples in the source, in the order of the stream.
    """

    position: int
    examples: np.ndarray


def _permutation(count: int, seed: int, *purpose: int) -> np.ndarray:
    """A random order that every NumPy computes alike: only the raw bits are its promise."""
    sequence = np.random.SeedSequence([seed, *purpose])
    return np.argsort(np.random.Philox(sequence).random_raw(count), kind="stable")


def windows(
    groups: np.ndarray, seed: int, position: int = 0, size: int = _WINDOW
) -> Iterator[Window]:
    """Yields the windows of the stream without end.

    Args:
        groups: number of examples of each group, in the order of the source.
        seed: of the random order, not negative.
        position: index in the stream of an example that the first window holds.
        size: examples of a window, which ends with the group that reaches it.
    """
    starts = np.concatenate([[0], np.cumsum(groups)])
    total = int(starts[-1])
    epoch = position // total
    while True:
        order = _permutation(len(groups), seed, epoch)
        ends = np.cumsum(groups[order])
        first = 0
        while first < len(order):
            begin = int(ends[first - 1]) if first else 0
            last = min(int(np.searchsorted(ends, begin + size)), len(order) - 1)
            if epoch * total + int(ends[last]) > position:
                members = order[first : last + 1]
                examples = np.concatenate(
                    [np.arange(starts[i], starts[i + 1]) for i in members]
                    if len(members) < int(ends[last]) - begin
                    else [starts[members]]
                )
                shuffle = _permutation(len(examples), seed, epoch, first + 1)
                yield Window(epoch * total + begin, examples[shuffle])
            first = last + 1
        epoch += 1


def share(
    window: Window, first: int, batch: int, shard: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the positions and examples of a window that one of several processes reads.

    Args:
        window: a run of the stream.
        first: the first position of the stream that is wanted.
        batch: examples of the process in each step.
        shard: number of the process, and how many there are.
    """
    index, count = shard
    positions = window.position + np.arange(len(window.examples))
    mine = (positions >= first) & (positions // batch % count == index)
    return positions[mine], window.examples[mine]
