"""ReActNet: MobileNetV1 with binary convolutions, learned thresholds and activations.

Source: *ReActNet: Towards Precise Binary Neural Network with Generalized Activation
Functions*, ECCV 2020, arXiv 2003.03488.
"""

import tensorflow as tf

from larq_bcd.models import _arguments, blocks, pytorch
from larq_bcd.models.blocks import Binarization

# Blocks of each stage after the first, which doubles the channels.
_EXTRA_BLOCKS = (0, 1, 1, 5, 1)


def ReActNetA(
    input_shape=None,
    input_tensor=None,
    weights=None,
    include_top=True,
    num_classes=1000,
    *,
    width=1.0,
    strides=(2, 1, 2, 2, 2, 2),
    input_quantizer="approx_sign",
    kernel_quantizer="scaled_sign",
    pad_values=0.0,
    name="reactnet_a",
) -> tf.keras.Model:
    """ReActNet-A: the binary MobileNetV1, with one head `fc`.

    69.4 % top-1 on ImageNet in the paper, with 4.82e9 BOPs and 0.12e8 FLOPs. The network
    takes normalized float32 images `(batch, height, width, 3)` and returns logits
    `(batch, num_classes)`.

    Source: ReActNet (arXiv 2003.03488), section 4.

    Args:
        input_shape: `(height, width, channels)`, by default `(224, 224, 3)`; height and
            width may be `None`.
        input_tensor: Keras tensor to use as the image instead.
        weights: path to a file of Keras weights or to an official PyTorch checkpoint
            of ReActNet-A, of either training step; `None` for random weights.
        include_top: whether to end in the head; otherwise the network returns the features
            `(batch, height / 32, width / 32, 1024)`.
        num_classes: number of classes.
        width: factor of the channels.
        strides: strides of the stem and of the first block of the five stages, 1 or 2.
        input_quantizer: quantizer of the binary layers' inputs.
        kernel_quantizer: quantizer of their kernels; `None` for the real kernels of the
            first training step.
        pad_values: 0.0 as in the paper, or 1.0, which costs less on the device.
        name: name of the model.

    Returns:
        A functional `tf.keras.Model`.

    Raises:
        ImportError: if `weights` is a PyTorch checkpoint and PyTorch is not installed.
        ValueError: if an argument is out of its range.
    """
    binarization = Binarization(input_quantizer, kernel_quantizer, pad_values)
    channels = _arguments.stem_channels(name, width)
    strides = _arguments.stage_strides(name, strides, stages=6)
    x, inputs = _arguments.image_input(name, input_shape, input_tensor)
    x = blocks.stem(x, channels, strides[0])
    x = blocks.react_stages(x, strides[1:], _EXTRA_BLOCKS, binarization)
    if include_top:
        x = blocks.heads(x, _arguments.classes(name, num_classes), ("fc",))
    model = tf.keras.Model(inputs, x, name=name)
    return _arguments.load_weights(model, weights, pytorch.MOBILENET)
