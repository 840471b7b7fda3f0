"""Graphs with the operators that only move values, and those that pool and add up."""

import numpy as np
from flatfile import schema
from test_fusion import Graph


class MovingGraph(Graph):
    """A graph that also slices, joins, pads and gathers."""

    def _like(self, a: int, shape) -> int:
        dtype = {0: np.float32, 2: np.int32}[self.file.tensors[a].type]
        return self.file.tensor(shape, dtype)

    def shape(self, a: int) -> list[int]:
        return [int(size) for size in self.file.tensors[a].shape]

    def _integers(self, values) -> int:
        return self.file.constant(np.array(values, np.int32))

    def slice(self, a: int, begin, size) -> int:
        result = self._like(a, size)
        options = schema.SliceOptionsT()
        inputs = [a, self._integers(begin), self._integers(size)]
        self.file.builtin(
            "SLICE", inputs, [result], schema.BuiltinOptions.SliceOptions, options
        )
        return result

    def strided_slice(self, a: int, begin, end, strides, begin_mask=0, end_mask=0) -> int:
        cuts = [
            slice(
                None if begin_mask >> i & 1 else begin[i],
                None if end_mask >> i & 1 else end[i],
                strides[i],
            )
            for i in range(len(begin))
        ]
        shape = [len(range(size)[cut]) for size, cut in zip(self.shape(a), cuts)]
        result = self._like(a, shape)
        options = schema.StridedSliceOptionsT()
        options.beginMask, options.endMask = begin_mask, end_mask
        inputs = [a, *(self._integers(values) for values in (begin, end, strides))]
        kind = schema.BuiltinOptions.StridedSliceOptions
        self.file.builtin("STRIDED_SLICE", inputs, [result], kind, options)
        return result

    def join(self, parts, axis: int) -> int:
        shape = self.shape(parts[0])
        shape[axis] = sum(self.shape(part)[axis] for part in parts)
        result = self._like(parts[0], shape)
        options = schema.ConcatenationOptionsT()
        options.axis = axis
        kind = schema.BuiltinOptions.ConcatenationOptions
        self.file.builtin("CONCATENATION", parts, [result], kind, options)
        return result

    def split(self, a: int, parts: int, axis: int) -> list[int]:
        shape = self.shape(a)
        shape[axis] //= parts
        results = [self._like(a, shape) for _ in range(parts)]
        options = schema.SplitOptionsT()
        options.numSplits = parts
        inputs = [self.file.constant(np.int32(axis)), a]
        self.file.builtin("SPLIT", inputs, results, schema.BuiltinOptions.SplitOptions, options)
        return results

    def pad(self, a: int, margins) -> int:
        shape = [size + before + after for size, (before, after) in zip(self.shape(a), margins)]
        result = self._like(a, shape)
        kind = schema.BuiltinOptions.PadOptions
        inputs = [a, self._integers(margins)]
        self.file.builtin("PAD", inputs, [result], kind, schema.PadOptionsT())
        return result

    def reshape(self, a: int, shape) -> int:
        result = self._like(a, shape)
        options = schema.ReshapeOptionsT()
        options.newShape = np.array(shape, np.int32)
        inputs = [a, self._integers(shape)]
        kind = schema.BuiltinOptions.ReshapeOptions
        self.file.builtin("RESHAPE", inputs, [result], kind, options)
        return result

    def gather(self, a: int, indices: np.ndarray, axis: int) -> int:
        shape = self.shape(a)
        result = self._like(a, [*shape[:axis], *indices.shape, *shape[axis + 1 :]])
        options = schema.GatherOptionsT()
        options.axis = axis
        inputs = [a, self._integers(indices)]
        kind = schema.BuiltinOptions.GatherOptions
        self.file.builtin("GATHER", inputs, [result], kind, options)
        return result

    def roll(self, a: int, shift: int, axis: int) -> int:
        """What the converter makes of tf.roll."""
        shape, begin = self.shape(a), [0] * 4
        shift %= shape[axis]
        if shift == 0:
            return a
        begin[axis] = shape[axis] - shift
        last = self.slice(a, begin, [*shape[:axis], shift, *shape[axis + 1 :]])
        rest = [*shape[:axis], shape[axis] - shift, *shape[axis + 1 :]]
        return self.join([last, self.slice(a, [0] * 4, rest)], axis)

    def shift(self, a: int, distance: int) -> int:
        """The four groups of channels, or of words, each rolled in its direction."""
        groups = self.split(a, 4, axis=3)
        moves = [(distance, 1), (-distance, 1), (distance, 2), (-distance, 2)]
        rolled = [self.roll(group, *move) for group, move in zip(groups, moves)]
        return self.join(rolled, axis=3)

    def shift_by_gather(self, words: int, distance: int) -> int:
        _, height, width, count = self.shape(words)
        index = np.arange(height * width * count, dtype=np.int32).reshape(height, width, count)
        parts = np.split(index, 4, axis=2)
        moves = [(distance, 0), (-distance, 0), (distance, 1), (-distance, 1)]
        rolled = [np.roll(part, move, axis) for part, (move, axis) in zip(parts, moves)]
        flat = self.reshape(words, [1, height * width * count])
        return self.gather(flat, np.concatenate(rolled, axis=2), axis=1)

    def average(self, a: int) -> int:
        n, height, width, channels = self.shape(a)
        result = self.file.tensor((n, height // 2, width // 2, channels))
        options = schema.Pool2DOptionsT()
        options.padding = schema.Padding.VALID
        options.strideW = options.strideH = options.filterWidth = options.filterHeight = 2
        kind = schema.BuiltinOptions.Pool2DOptions
        self.file.builtin("AVERAGE_POOL_2D", [a], [result], kind, options)
        return result

    def add_n(self, values) -> int:
        result = self._like(values[0], self.shape(values[0]))
        kind = schema.BuiltinOptions.AddNOptions
        self.file.builtin("ADD_N", values, [result], kind, schema.AddNOptionsT())
        return result

    def on(self, a: int) -> "MovingGraph":
        """Makes further elementwise operators and convolutions work on this value's size."""
        self.size = tuple(self.shape(a)[:3])
        return self
