"""A warning of pixels that go into a network of normalized images."""

import types
import warnings

import tensorflow as tf

# More standard deviations than a normalized image has anywhere.
_LARGEST = 20


def warn_of_pixels(model: tf.keras.Model, known_as: str) -> None:
    """Lets a network of normalized images warn once if it is called on pixels.

    The first call with values and every tracing are looked at: `model(images)` and
    `model.predict(images)`.

    Args:
        model: the network.
        known_as: what `preprocess_input` knows it by, as Python has it.
    """
    plain = model.call
    is_done = False

    def call(self, inputs, training=None, mask=None):
        nonlocal is_done
        if not is_done and isinstance(inputs, tf.Tensor):
            is_done = hasattr(inputs, "numpy")
            if _are_pixels(inputs):
                is_done = True
                warnings.warn(
                    f"{model.name!r} takes normalized images, and these are pixels of 0 to "
                    f"255: pass larq_bcd.models.preprocess_input(images, {known_as}).",
                    stacklevel=2,
                )
        return plain(inputs, training=training, mask=mask)

    # A method, because that is what Keras looks for when it writes a SavedModel.
    model.call = types.MethodType(call, model)


def _are_pixels(images: tf.Tensor) -> bool:
    if images.dtype.is_integer:
        return True
    has_values = hasattr(images, "numpy")
    return has_values and bool(tf.reduce_max(images) > _LARGEST)
