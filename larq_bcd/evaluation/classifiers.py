"""Trained classifiers, Keras models and .tflite files, as functions of images."""

import abc
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf

from larq_bcd.data.preprocessing import Description
from larq_bcd.errors import UserError
from larq_bcd.models import description_of
from larq_bcd.tflite.engines import open_engine
from larq_bcd.tflite.metadata import read_metadata


class Classifier(abc.ABC):
    """A function from images to logits.

    Attributes:
        name: where it comes from.
        runs_on: what executes it.
        input_shape: `(height, width, channels)`.
        description: what it says of itself.
    """

    name: str
    runs_on: str
    input_shape: tuple[int, int, int]
    description: Description

    @abc.abstractmethod
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Returns the float32 logits `(batch, classes)` of NHWC images.

        They are normalized float32, or encoded as the preprocessing in `description` says.
        """


class KerasClassifier(Classifier):
    """A Keras model of one image and one output.

    Raises:
        UserError: if it has other inputs or outputs.
    """

    runs_on = "Keras"

    def __init__(self, name: str, model: tf.keras.Model):
        self.name = name
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise UserError(
                f"{name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs: give "
                "a model from one image to its logits."
            )
        self.input_shape = _image_shape(name, tuple(model.inputs[0].shape[1:]))
        self.description = description_of(model)
        self._call = tf.function(lambda images: model(images, training=False))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self._call(tf.constant(images)).numpy()


class FileClassifier(Classifier):
    """A .tflite file, with or without binary operators.

    It runs on larq_bcd_runtime where that is installed, else on another engine that can run
    it, which gives the same logits but for rounding, more slowly.

    Raises:
        UserError: if it cannot be read, or has not one image and one output.
    """

    def __init__(self, path: Path, threads: int | None = None):
        self.name = str(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(
                f"{path} cannot be read ({error.strerror}): name a .tflite file."
            ) from error
        inputs, outputs = _tensors(path, content)
        if len(inputs) != 1 or len(outputs) != 1:
            raise UserError(
                f"{path} has {len(inputs)} inputs and {len(outputs)} outputs: give one from "
                "one image to its logits."
            )
        self.input_shape = _image_shape(path, tuple(inputs[0]["shape"].tolist()[1:]))
        self.description = read_metadata(content).description(self.input_shape)
        self._dtype = inputs[0]["dtype"]
        self._input_scale, self._input_zero = inputs[0]["quantization"]
        self._output_scale, self._output_zero = outputs[0]["quantization"]
        engine = open_engine(content, threads)
        self.runs_on, self._predict = str(engine), engine.predict

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Returns the logits; real values become the file's integers as its scales say."""
        if self._input_scale and images.dtype != self._dtype:
            limits = np.iinfo(self._dtype)
            images = np.rint(images / self._input_scale) + self._input_zero
            images = np.clip(images, limits.min, limits.max)
        (logits,) = self._predict(np.ascontiguousarray(images.astype(self._dtype)))
        logits = np.asarray(logits, np.float32)
        if self._output_scale:
            logits = (logits - self._output_zero) * self._output_scale
        return logits


def _tensors(path: Path, content: bytes) -> tuple[list[dict], list[dict]]:
    """Returns what a file takes and gives, once it is known to be whole."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TensorFlow's, about where it will move
            # It checks the file, which Larq Compute Engine's own interpreter does not, and
            # asks for the operators only when it is to run them.
            described = tf.lite.Interpreter(model_content=content)
    except ValueError:
        raise UserError(
            f"{path} is damaged or not a .tflite file: convert the model again."
        ) from None
    return described.get_input_details(), described.get_output_details()


def _image_shape(name, shape: tuple) -> tuple[int, int, int]:
    if len(shape) != 3 or None in shape:
        raise UserError(
            f"{name} takes an input of shape {shape}, not an image of fixed height, width and "
            "channels."
        )
    return shape
