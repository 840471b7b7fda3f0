"""What keras.applications has beside each network: its preprocessing, and what it predicts."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from larq_bcd.data import imagenet
from larq_bcd.data.preprocessing import Description
from larq_bcd.errors import UserError
from larq_bcd.models._arguments import positive
from larq_bcd.models.described import description_of
from larq_bcd.models.registry import list_models, model_info


def preprocess_input(images, model: tf.keras.Model | str) -> np.ndarray | tf.Tensor:
    """Normalizes pixels as a network wants them, and leaves their size as it is.

    Args:
        images: pixels of 0 to 255 of one image or more, `(..., height, width, channels)`; in
            `Dataset.map`, a tensor of them, whose values are not looked at.
        model: a model that says of itself how its images are prepared, as a trained one does,
            or the name of a network, such as `"BCDNetB"` or `"BCDNetB:cifar10"`.

    Returns:
        float32, of the same shape; a tensor of a tensor in `Dataset.map`.

    Raises:
        UserError: if nothing is known of how the network's images are prepared, or these
            have other channels or other values.
    """
    preprocessing = _known(model).preprocessing
    if preprocessing is None:
        raise UserError(
            f"{_name(model)}: how its images are prepared is not known: pass the network's "
            "name, or describe it with larq_bcd.models.describe(model, Preprocessing(...))."
        )
    is_traced = tf.is_tensor(images) and not hasattr(images, "numpy")
    pixels = images if is_traced else np.asarray(images)
    if is_traced and (images.shape.rank is None or images.shape[-1] is None):
        raise UserError(
            "images of unknown shape are not supported: decode them with channels="
            f"{preprocessing.channels} and expand_animations=False, or call their set_shape."
        )
    shape = tuple(pixels.shape)
    if len(shape) < 3 or shape[-1] != preprocessing.channels:
        raise UserError(
            f"images of shape {shape} are not supported: pass (height, width, "
            f"{preprocessing.channels}) or a batch of them, channels last."
        )
    if is_traced:
        mean, std = preprocessing.in_pixels()
        return (tf.cast(pixels, tf.float32) - mean) / std
    low, high = (pixels.min(), pixels.max()) if pixels.size else (0, 0)
    is_float = np.issubdtype(pixels.dtype, np.floating)
    if not 0 <= low <= high <= 255 or (is_float and 0 < high <= 1):
        raise UserError(
            f"images of {low:g} to {high:g} are not supported: pass pixels of 0 to 255, which "
            "are not normalized yet."
        )
    return preprocessing.normalized(pixels)


def decode_predictions(
    predictions, model: tf.keras.Model | str, top: int = 5
) -> list[list[tuple[str, float]]]:
    """Names the classes that a network finds the most probable.

    Args:
        predictions: its logits, or its probabilities if it ends in a softmax, `(batch,
            classes)`: they are taken for probabilities where no number is negative and those
            of every image sum to 1, to 5 % for a softmax of int8.
        model: a model that has the names of its classes, as a trained one has, or the name of
            a network, `"BCDNetB"`, which tells the classes of ImageNet, or `"BCDNetB:cifar10"`.
        top: number of classes.

    Returns:
        For each image the names and the probabilities of the classes, the most probable first.

    Raises:
        UserError: if the names are not known, or are not as many as the logits, or these are
            not finite.
    """
    names = _known(model).class_names
    if names is None:
        raise UserError(
            f"{_name(model)}: the names of its classes are not known: pass the network's "
            "name, or describe it with larq_bcd.models.describe(model, preprocessing, names)."
        )
    logits = np.asarray(predictions, np.float64)
    if logits.ndim != 2 or logits.shape[1] != len(names):
        raise UserError(
            f"predictions of shape {logits.shape} are not supported: pass (batch, "
            f"{len(names)}), the network's output."
        )
    if not np.isfinite(logits).all():
        raise UserError("predictions are not finite: look at the images and the weights.")
    count = positive("top", top)
    return [_best(row, names, count) for row in _probabilities(logits)]


def _probabilities(predictions: np.ndarray) -> np.ndarray:
    if (predictions >= 0).all() and (abs(predictions.sum(1) - 1) < 0.05).all():
        return predictions
    powers = np.exp(predictions - predictions.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def _best(probabilities: np.ndarray, names: Sequence[str], top: int) -> list[tuple[str, float]]:
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [(names[index], float(probabilities[index])) for index in order]


def _known(model: tf.keras.Model | str) -> Description:
    if isinstance(model, tf.keras.Model):
        return description_of(model)
    if not isinstance(model, str):
        raise UserError(
            f"model={model!r} is not supported: pass a model, or the name of a network."
        )
    network, colon, weights = model.partition(":")
    info = model_info(network)
    if not colon:
        of_imagenet = info.dataset == "ImageNet" and info.num_classes == 1000
        names = imagenet.class_names() if of_imagenet else None
        return Description(info.preprocessing, names)
    if weights not in info.weights:
        known = ", ".join(list_models(pretrained=True)) or "there are none yet"
        raise UserError(f"{model!r} is not the name of a trained network: choose of {known}.")
    return Description(info.weights[weights].preprocessing, info.weights[weights].class_names)


def _name(model: tf.keras.Model | str) -> str:
    return model if isinstance(model, str) else model.name
