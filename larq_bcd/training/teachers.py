"""Frozen full-precision networks whose probabilities are distilled."""

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from larq_bcd._downloads import DownloadError, downloads
from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.errors import UserError
from larq_bcd.models import get_model
from larq_bcd.training.recipe import RESNET50, Teacher

_IMAGENET_CLASSES = 1000


def build_teacher(
    settings: Teacher, preprocessing: Preprocessing, num_classes: int
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function from normalized images to a teacher's logits.

    Raises:
        UserError: if its weights cannot be had, or are of other classes.
    """
    shape = (*preprocessing.image_size, preprocessing.channels)
    if settings.network == RESNET50:
        return frozen(_resnet50(settings.weights, shape, preprocessing, num_classes))
    try:
        model = get_model(
            str(settings.network),
            input_shape=shape,
            num_classes=num_classes,
            weights=settings.weights,
            **settings.arguments,
        )
    except (ValueError, OSError) as error:
        raise UserError(f"teacher: {error}") from error
    return frozen(model)


def frozen(model: tf.keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a network as a function that trains nothing."""
    model.trainable = False

    def teach(images: tf.Tensor) -> tf.Tensor:
        return model(images, training=False)

    return teach


def _resnet50(
    weights: str | None, shape: tuple, preprocessing: Preprocessing, num_classes: int
) -> tf.keras.Model:
    """ResNet-50 behind what turns the recipe's images into those that it was trained on."""
    if weights == "imagenet" and num_classes != _IMAGENET_CLASSES:
        raise UserError(
            f"teacher.weights='imagenet' has {_IMAGENET_CLASSES} classes, but the data have "
            f"{num_classes}: pass the weights of a ResNet50 that was trained on them, or "
            "leave the teacher out."
        )
    if weights not in (None, "imagenet") and not Path(str(weights)).is_file():
        raise UserError(
            f"teacher.weights={weights!r} is not a file: pass 'imagenet' or a file of weights "
            "of tf.keras.applications.ResNet50."
        )
    image = tf.keras.Input(shape)
    pixels = tf.keras.layers.Rescaling(
        [255 * std for std in preprocessing.std], [255 * mean for mean in preprocessing.mean]
    )(image)
    pixels = tf.keras.applications.resnet50.preprocess_input(pixels)
    resnet = _network(weights, shape, num_classes)
    return tf.keras.Model(image, resnet(pixels), name="resnet50")


def _network(weights: str | None, shape: tuple, num_classes: int) -> tf.keras.Model:
    try:
        with downloads():
            return tf.keras.applications.ResNet50(
                weights=weights,
                input_shape=shape,
                classes=num_classes,
                classifier_activation=None,
            )
    except DownloadError as error:
        raise UserError(
            f"teacher: the weights {weights!r} of ResNet50 could not be had ({error}): "
            "download the file of tf.keras.applications on another machine, and pass its path "
            "as teacher.weights."
        ) from error
    except (ValueError, OSError) as error:  # the image size; a damaged or foreign file
        raise UserError(
            f"teacher: ResNet50 with weights={weights!r} does not take images of {shape} and "
            f"{num_classes} classes ({str(error).splitlines()[0]}): change preprocessing or "
            "teacher.weights."
        ) from error
