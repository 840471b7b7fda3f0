"""What keras.applications has beside each network: its preprocessing, and what it predicts."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from larq_bcd.data import imagenet
from larq_bcd.data.preprocessing import Description
from larq_bcd.errors import UserError
from larq_bcd.models.described import description_of
from larq_bcd.models.registry import list_models, model_info


def preprocess_input(images, model: tf.keras.Model | str) -> np.ndarray:
    """Normalizes pixels as a network wants them.

    Args:
        images: pixels of 0 to 255 at the network's size, `(..., height, width, channels)`.
        model: a model that says of itself how its images are prepared, as a trained one does,
            or the name of a network, such as `"BCDNetB"` or `"BCDNetB:cifar10"`.

    Returns:
        float32, of the same shape.

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
    pixels = np.asarray(images)
    if pixels.ndim < 3 or pixels.shape[-1] != preprocessing.channels:
        raise UserError(
            f"images of shape {pixels.shape} are not supported: pass (height, width, "
            f"{preprocessing.channels}) or a batch of them, channels last."
        )
    low, high = (pixels.min(), pixels.max()) if pixels.size else (0, 0)
    if not 0 <= low <= high <= 255 or 0 < high <= 1:
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
        predictions: its logits, `(batch, classes)`.
        model: a model that has the names of its classes, as a trained one has, or the name of
            a network, `"BCDNetB"`, which tells the classes of ImageNet, or `"BCDNetB:cifar10"`.
        top: number of classes.

    Returns:
        For each image the names and the probabilities of the classes, the most probable first.

    Raises:
        UserError: if the names are not known, or are not as many as the logits.
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
    if top < 1:
        raise UserError(f"top={top} is not supported: pass a positive integer.")
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return [_best(row, names, top) for row in powers / powers.sum(1, keepdims=True)]


def _best(probabilities: np.ndarray, names: Sequence[str], top: int) -> list[tuple[str, float]]:
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [(names[index], float(probabilities[index])) for index in order]


def _known(model: tf.keras.Model | str) -> Description:
    if not isinstance(model, str):
        return description_of(model)
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
