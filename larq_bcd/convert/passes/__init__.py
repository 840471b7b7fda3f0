"""Passes over the graph of a file: the smallest and fastest file that computes the same thing.

What the optimized file is made of, for what runs it (`+` is ADD, names are operators):

    threshold     x + t -> LceQuantize -> LceBconv2d
                  t: float32 [C], or, for a dynamic embedding, MEAN -> FULLY_CONNECTED ->
                  FULLY_CONNECTED of shape [1, C]: no RESHAPE, no SUB, its bias holds the
                  static threshold
    one sign      an LceQuantize for each distinct sign, read by all its convolutions
    unit          PRELU(LceBconv2d + shortcut): the biases before and after the PRELU and the
                  batch norm are in the multiplier and bias of the LceBconv2d, and the offset
                  that the PRELU's output lacks is in whatever reads it
    offsets       (LceBconv2d + [1, C]) + shortcut, with the gain of the batch norm in the
                  weights of the FULLY_CONNECTED
    stride 2      LceQuantize -> PAD (int32, zeros after the last row and column) ->
                  LceBconv2d -> STRIDED_SLICE (crops the last row and column) -> + shortcut,
                  with the multiplier and bias of the batch norm in the LceBconv2d
    shifted MLP   LceQuantize -> s [1, H, W, C/32]; RESHAPE(s) -> [H W C/32]; one
                  GATHER(axis=0, int32 positions [1, H, W, C/32]) for each range;
                  ADD_N(P(s), L(gather), S(gather), x) -> PRELU. The order of the terms is
                  that of the converter. With a batch norm there is no MUL.
                  If C/4 is not a multiple of 32 the shifts are the converter's, on floats.

The file is an LCE file: built-in operators of float32 and int32 tensors, and LCE's own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from larq_bcd.convert.passes.affine import (
    drop_zeros,
    fold_differences,
    fold_gains,
    fold_offsets,
)
from larq_bcd.convert.passes.common import drop_reshapes, share_common, sum_at_once
from larq_bcd.convert.passes.dense import convolve_dense
from larq_bcd.convert.passes.fills import write_out_fills
from larq_bcd.convert.passes.gelu import restore_gelus
from larq_bcd.convert.passes.movement import move_packed_words, pad_packed_words
from larq_bcd.convert.passes.padding import correct_zeros, restore_padding, round_after_zeros
from larq_bcd.convert.passes.ranks import lower_ranks
from larq_bcd.convert.passes.states import separate_states
from larq_bcd.tflite.graph import Graph, Rewrite
from larq_bcd.tflite.operators import BINARY_CONVOLUTION


@dataclass(frozen=True)
class Pass:
    """A rewriting of the graph of a file.

    Attributes:
        apply: changes a graph.
        is_exact: whether one thread gives the same bits as before.
        summary: what it does.
    """

    apply: Callable[[Graph], Rewrite]
    is_exact: bool
    summary: str


# In the order in which they run.
PASSES = {
    "common": Pass(share_common, True, "computes once what is computed alike"),
    "movement": Pass(move_packed_words, True, "moves words of signs instead of floats"),
    "padding": Pass(pad_packed_words, True, "pads words of signs instead of floats"),
    "gains": Pass(fold_gains, False, "folds multiplications into convolutions"),
    "differences": Pass(fold_differences, False, "turns subtractions into additions"),
    "offsets": Pass(fold_offsets, False, "folds additions into biases and thresholds"),
    "zeros": Pass(drop_zeros, True, "drops additions of zero"),
    "sums": Pass(sum_at_once, True, "adds up branches and shortcut at once"),
    "reshapes": Pass(drop_reshapes, True, "drops reshapes that broadcasting makes good for"),
}


@dataclass(frozen=True)
class PassReport:
    """What a pass has done.

    Attributes:
        name: of the pass.
        changes: how often it has changed something.
        operators, file_bytes: of the file after it.
        skipped: what it had to leave, and why.
    """

    name: str
    changes: int
    operators: int
    file_bytes: int
    skipped: list[str] = field(default_factory=list)


def optimize(graph: Graph, names: Sequence[str] = tuple(PASSES)) -> list[PassReport]:
    """Applies passes, in their fixed order.

    Args:
        graph: is changed; nothing unused is left in it and equal constants stand once.
        names: of the passes to apply.

    Returns:
        A report of each pass.
    """
    reports = []
    graph.tidy()
    size = len(graph.write())
    for name in (name for name in PASSES if name in names):
        done = PASSES[name].apply(graph)
        if done.changed:
            graph.tidy()
            size = len(graph.write())
        report = PassReport(name, len(done.changed), len(graph.nodes), size, done.skipped)
        reports.append(report)
    return reports


def activation_bytes(graph: Graph) -> int:
    """Bytes of the activations that all operators but LceBconv2d read and write.

    Counted from the shapes: an estimate of the memory traffic between the convolutions.
    """
    return sum(
        value.nbytes
        for node in graph.nodes
        if node.type != BINARY_CONVOLUTION
        for value in (*node.operands, *node.outputs)
        if value.constant is None
    )


__all__ = [
    "PASSES",
    "Pass",
    "PassReport",
    "activation_bytes",
    "convolve_dense",
    "correct_zeros",
    "lower_ranks",
    "optimize",
    "restore_gelus",
    "restore_padding",
    "round_after_zeros",
    "separate_states",
    "write_out_fills",
]


def __dir__() -> list[str]:
    return __all__
