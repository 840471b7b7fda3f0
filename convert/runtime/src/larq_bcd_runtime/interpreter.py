"""The Python interface: open a file, predict."""

import operator
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from larq_bcd_runtime.delegate import describe, fastest_kernels, load, runtime
from larq_bcd_runtime.flatbuffer import Damaged
from larq_bcd_runtime.model_file import ModelFile, Names, read_model, with_shapes
from larq_bcd_runtime.rules import ShapesDisagree
from larq_bcd_runtime.trial import computed_shapes, crash, has_python


class ModelError(RuntimeError):
    """A file that cannot be served; the message names the operator and the reason."""


@dataclass(frozen=True)
class TensorDetail:
    """An input or output of the file.

    Attributes:
        name: what the file's signature calls it, or its name in a file without one.
        shape: its shape in the file, the batch first.
        dtype: what to feed, or what comes out.
        scale: int8 only, 0 otherwise: real value = scale * (value - zero_point).
        zero_point: int8 only, 0 otherwise.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    scale: float
    zero_point: int

    @classmethod
    def _of(cls, detail: dict[str, Any], name: str) -> "TensorDetail":
        scale, zero_point = detail["quantization"]
        shape = tuple(int(size) for size in detail["shape"])
        return cls(name, shape, np.dtype(detail["dtype"]), float(scale), int(zero_point))


def _described(details: list[dict[str, Any]], signature: Names) -> list[TensorDetail]:
    """Returns inputs or outputs under the names that a signature gives to their tensors."""
    left = list(signature)
    described = []
    for detail in details:
        found = next((entry for entry in left if entry[0] == detail["index"]), None)
        if found is not None:
            left.remove(found)
        described.append(TensorDetail._of(detail, found[1] if found else detail["name"]))
    return described


def _integer(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{name} is {value!r}, and has to be an integer.") from None


def _read(model: Any) -> bytes:
    if isinstance(model, (bytes, bytearray, memoryview)):
        return bytes(model)
    if not isinstance(model, (str, os.PathLike)):
        raise ValueError(
            f"model is of type {type(model).__name__}, and has to be a path or a file's bytes."
        )
    return Path(model).read_bytes()


def _checked(content: bytes) -> tuple[bytes, ModelFile]:
    """Returns a sound file and what it says, with LiteRT's shapes where its own disagree."""
    try:
        return content, read_model(content)
    except ShapesDisagree:
        content = with_shapes(content, computed_shapes(content))
    return content, read_model(content)


class Interpreter:
    """Executes an LCE model.

    One interpreter serves one thread at a time, others wait; several interpreters are
    independent. Another process opens the file anew, also if it is sent a pickled interpreter;
    one that was forked cannot use its parent's if that has several threads.

    ```python
    interpreter = Interpreter("model.tflite", num_threads=4)
    logits = interpreter.predict(images)
    ```

    Attributes:
        input_details: of each input, in the order of the file, which is the model's if
            `lce_convert` has written it.
        output_details: of each output, likewise.
        file: preprocessing and labels, if the file's metadata have them.
        kernels: the name of the kernels that execute the binary operators.

    Args:
        model: path of a .tflite file, or its bytes.
        num_threads: threads for all operators, 1 to 64.
        kernels: see `larq_bcd_runtime.load`.
        fuse: see `larq_bcd_runtime.load`.
        profile: see `larq_bcd_runtime.load`.
        trial: run the file in a process of its own first: if LiteRT crashes there, for a damage
            that the checks do not know, that is a `ModelError` here. Takes as long as starting
            Python and loading the file once more. None: if it holds an operator of LiteRT whose
            rules are not known here, which those of binary networks are.

    Raises:
        ModelError: the file is not a model, or holds an operator that cannot be served.
        ValueError: an argument is out of range.
        OSError: the file cannot be read.
    """

    def __init__(
        self,
        model: Union[str, os.PathLike, bytes, bytearray, memoryview],
        num_threads: int = 1,
        kernels: str = "auto",
        fuse: bool = True,
        profile: bool = False,
        trial: Optional[bool] = None,
    ) -> None:
        num_threads = _integer("num_threads", num_threads)
        content = _read(model)
        self._arguments = (content, num_threads, kernels, fuse, profile)
        self._turn = threading.Lock()
        self._process = os.getpid() if num_threads > 1 else None
        try:
            content, self.file = _checked(content)
        except Damaged as damage:
            raise ModelError(f"the file is damaged, or no .tflite file: {damage}.") from None
        # The runtime reads the file in place for as long as it lives.
        self._content = content
        self.kernels = fastest_kernels() if kernels == "auto" else kernels
        self._delegate = load(num_threads, kernels, fuse, profile)
        if trial is None:
            trial = not self.file.knows_rules and has_python()
        death = crash(content, num_threads) if trial else None
        if death is not None:
            raise ModelError(f"LiteRT crashes on the file ({death}): it is damaged.")
        self._runtime = self._open()
        self._inputs = self._runtime.get_input_details()
        self._outputs = self._runtime.get_output_details()
        self.input_details = _described(self._inputs, self.file.inputs)
        self.output_details = _described(self._outputs, self.file.outputs)
        self._batch = self._file_batch = self.input_details[0].shape[0] if self._inputs else 1
        self._can_resize = self.file.keeps_samples

    def predict(
        self, inputs: Union[np.ndarray, Sequence[np.ndarray]], batch_size: int = 32
    ) -> Union[np.ndarray, list[np.ndarray]]:
        """Computes the outputs for any number of samples.

        A file whose operators demand its own batch size, mostly 1, or mix the samples of a
        batch, is run in slices of that size; any other in slices of `batch_size`. An LSTM
        begins anew in each slice.

        Args:
            inputs: one array per input of the file, or the array itself if there is one;
                samples first, of exactly the dtype and shape in `input_details`.
            batch_size: samples computed at once.

        Returns:
            One array per output, or the array itself if there is one; samples first.

        Raises:
            ValueError: an array does not fit its input, or `batch_size` is not at least 1.
            RuntimeError: the process was forked from that which opened the file.
        """
        batch_size = _integer("batch_size", batch_size)
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, and has to be at least 1.")
        if self._process not in (None, os.getpid()):
            raise RuntimeError(
                "this process was forked from the one that opened the file, whose threads it "
                "does not have: open the file in this process, or with num_threads=1."
            )
        arrays = [inputs] if isinstance(inputs, np.ndarray) else inputs
        if not isinstance(arrays, (list, tuple)) or not all(
            isinstance(array, np.ndarray) for array in arrays
        ):
            raise ValueError(
                "inputs has to be a NumPy array, or a list of one for each input; use "
                "np.asarray(inputs, dtype) for what is none."
            )
        samples = self._check(list(arrays))
        with self._turn:
            return self._predict(list(arrays), samples, batch_size)

    def predict_named(
        self, inputs: Mapping[str, np.ndarray], batch_size: int = 32
    ) -> dict[str, np.ndarray]:
        """Computes the outputs as `predict` does, with a name for each input and output.

        ```python
        outputs = interpreter.predict_named({"left": images, "right": others})
        outputs["distance"]
        ```

        Args:
            inputs: one array by the name of each input, which `input_details` has.
            batch_size: samples computed at once.

        Returns:
            One array by the name of each output, which `output_details` has.

        Raises:
            ValueError: a name is missing or is not one of the file's, or as of `predict`.
            RuntimeError: as of `predict`.
        """
        names = [detail.name for detail in self.input_details]
        if not isinstance(inputs, Mapping) or set(inputs) != set(names):
            given = (
                ", ".join(map(repr, inputs)) if isinstance(inputs, Mapping) else "no mapping"
            )
            raise ValueError(
                f"inputs has {given or 'nothing'}, and has to have an array for each of "
                f"{', '.join(map(repr, names))}."
            )
        outputs = self.predict([inputs[name] for name in names], batch_size)
        listed = outputs if isinstance(outputs, list) else [outputs]
        return {detail.name: output for detail, output in zip(self.output_details, listed)}

    def _predict(
        self, arrays: list[np.ndarray], samples: int, batch_size: int
    ) -> Union[np.ndarray, list[np.ndarray]]:
        parts = []
        start = 0
        while start < samples:
            size = self._resize(min(batch_size, samples - start))
            parts.append(self._run([array[start : start + size] for array in arrays]))
            start += size
        # An output that counts no samples, if there was one slice only, stays what it is.
        outputs = (
            parts[0] if len(parts) == 1 else [np.concatenate(part) for part in zip(*parts)]
        )
        return outputs[0] if len(outputs) == 1 else outputs

    def __reduce__(self) -> tuple:
        """Pickled, it is the file, which is opened anew."""
        return Interpreter, self._arguments

    def describe(self) -> list[dict[str, Any]]:
        """Returns what the delegate executes, see `larq_bcd_runtime.describe`."""
        return describe(self._delegate)

    def _check(self, arrays: list[np.ndarray]) -> int:
        if len(arrays) != len(self.input_details):
            raise ValueError(
                f"the file has {len(self.input_details)} inputs, and {len(arrays)} arrays were "
                "given."
            )
        for array, detail in zip(arrays, self.input_details):
            wanted = ("samples", *detail.shape[1:])
            if array.ndim != len(detail.shape) or array.shape[1:] != detail.shape[1:]:
                raise ValueError(
                    f"input {detail.name} takes an array of shape {wanted}, not {array.shape}; "
                    f"the first dimension counts samples, use array[None] for a single one."
                )
            # Texts are bytes of any length.
            are_texts = array.dtype.kind == detail.dtype.kind == "S"
            if array.dtype != detail.dtype and not are_texts:
                wanted = detail.dtype.type.__name__
                raise ValueError(
                    f"input {detail.name} takes {wanted}, not {array.dtype}; use "
                    f"array.astype(np.{wanted}) if the values are what the file expects."
                )
            if len(array) != len(arrays[0]) or len(array) == 0:
                raise ValueError(
                    f"input {detail.name} has {len(array)} samples; every input needs the same "
                    f"number, and at least one."
                )
        if len(arrays[0]) % self._file_batch and not self._can_resize:
            raise ValueError(
                f"the file works on {self._file_batch} samples at once, which {len(arrays[0])} "
                f"samples are not a multiple of."
            )
        return len(arrays[0])

    def _open(self) -> Any:
        """Returns LiteRT's interpreter, prepared for the batch of the file."""
        try:
            interpreter = runtime().Interpreter(
                model_content=self._content,
                experimental_delegates=[self._delegate],
                num_threads=self._arguments[1],
            )
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ModelError(str(error)) from None
        return interpreter

    def _resize(self, size: int) -> int:
        """Prepares for `size` samples if the file can; returns how many to run."""
        if size == self._batch or not self._can_resize:
            return self._batch
        try:
            self._allocate(size)
        except RuntimeError:
            # Mostly a RESHAPE to a shape that the file fixes, batch included. An interpreter
            # that has failed once is not used again: tflite-runtime crashes in one.
            self._can_resize = False
            self._runtime = None
            self._runtime = self._open()
            self._batch = self._file_batch
        return self._batch

    def _allocate(self, size: int) -> None:
        for detail, described in zip(self._inputs, self.input_details):
            self._runtime.resize_tensor_input(detail["index"], (size, *described.shape[1:]))
        self._runtime.allocate_tensors()
        self._batch = size

    def _run(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        for detail, array in zip(self._inputs, arrays):
            self._runtime.set_tensor(detail["index"], array)
        # An LSTM keeps its state from one run to the next, which is of other samples.
        self._runtime.reset_all_variables()
        self._runtime.invoke()
        return [self._runtime.get_tensor(detail["index"]) for detail in self._outputs]
