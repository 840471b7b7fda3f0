"""BCDNet: MobileNetV1's stages of ReAct blocks, and an MLP stage of BiMLP blocks.

Source: *Towards Accurate Binary Neural Networks via Modeling Contextual Dependencies*,
ECCV 2022, arXiv 2209.01404.
"""

import tensorflow as tf

from larq_bcd.models import _arguments, blocks, pytorch
from larq_bcd.models.blocks import Binarization

# Blocks of each stage after the first, which doubles the channels.
_EXTRA_BLOCKS = (0, 1, 1, 3, 0)
_MLP_BLOCKS = 3
_BI_MLPS = 3


def BCDNetA(
    input_shape=None,
    input_tensor=None,
    weights=None,
    include_top=True,
    num_classes=1000,
    *,
    width=1.0,
    strides=(2, 1, 2, 2, 2, 2),
    short_range=1,
    long_range="half",
    input_quantizer="approx_sign",
    kernel_quantizer="scaled_sign",
    pad_values=0.0,
    name="bcdnet_a",
) -> tf.keras.Model:
    """BCDNet-A: ReActNet-A with a binary MLP stage in place of its last two blocks.

    71.8 % top-1 on ImageNet in the paper, with 4.82e9 BOPs and 0.12e8 FLOPs. The network
    takes normalized float32 images `(batch, height, width, 3)` and returns logits
    `(batch, num_classes)`, the mean of its two heads `fc` and `fc_dist`, of which the second
    is trained by distillation: `larq_bcd.models.with_training_heads` returns both.

    Source: BCDNet (arXiv 2209.01404), figure 4 and section 4.

    Args:
        input_shape: `(height, width, channels)`, by default `(224, 224, 3)`; height and
            width may be `None`.
        input_tensor: Keras tensor to use as the image instead.
        weights: path to a file of Keras weights or to an official PyTorch checkpoint
            of BCDNet-A, of either training step; `None` for random weights.
        include_top: whether to end in the heads; otherwise the network returns the features
            `(batch, height / 32, width / 32, 1024)`.
        num_classes: number of classes.
        width: factor of the channels.
        strides: strides of the stem and of the first block of the five stages, 1 or 2. The
            MLP stage wants a feature map of at least 4x4: `(1, 1, 1, 1, 2, 2)` suits images
            of 16x16, `(1, 1, 1, 2, 2, 2)` those of 32x32.
        short_range: shift in pixels of the short-range branch, or `"half"`.
        long_range: shift in pixels of the long-range branch, or `"half"` for half of the
            feature map.
        input_quantizer: quantizer of the binary layers' inputs.
        kernel_quantizer: quantizer of their kernels; `None` for the real kernels of the
            first training step.
        pad_values: 0.0 as in the paper, or 1.0, which costs less on the device.
        name: name of the model.

    Returns:
        A functional `tf.keras.Model`.

    Raises:
        ImportError: if `weights` is a PyTorch checkpoint and PyTorch is not installed.
        ValueError: if an argument is out of its range, or the feature map of the MLP stage
            is not larger than its shifts.
    """
    return _bcdnet(dynamic=False, **locals())


def BCDNetB(
    input_shape=None,
    input_tensor=None,
    weights=None,
    include_top=True,
    num_classes=1000,
    *,
    width=1.0,
    strides=(2, 1, 2, 2, 2, 2),
    short_range=1,
    long_range="half",
    input_quantizer="approx_sign",
    kernel_quantizer="scaled_sign",
    pad_values=0.0,
    name="bcdnet_b",
) -> tf.keras.Model:
    """BCDNet-B: BCDNet-A whose binary convolutions have dynamic contextual embeddings.

    72.3 % top-1 on ImageNet in the paper, with 4.82e9 BOPs and 0.14e8 FLOPs. It starts from
    a trained BCDNet-A: `larq_bcd.models.copy_weights(a, b)`, or an official PyTorch checkpoint
    of BCDNet-A as `weights`, gives it exactly that function.

    Source: BCDNet (arXiv 2209.01404), equations 16 to 22. That each of the 20 units of the
    convolution stages has its own embedding is inferred from the paper's cost.

    The arguments, the result and the errors are those of `BCDNetA`.
    """
    return _bcdnet(dynamic=True, **locals())


def _bcdnet(
    *,
    dynamic: bool,
    input_shape,
    input_tensor,
    weights,
    include_top,
    num_classes,
    width,
    strides,
    short_range,
    long_range,
    input_quantizer,
    kernel_quantizer,
    pad_values,
    name,
) -> tf.keras.Model:
    binarization = Binarization(input_quantizer, kernel_quantizer, pad_values, dynamic)
    channels = _arguments.stem_channels(name, width)
    strides = _arguments.stage_strides(name, strides, stages=6)
    x, inputs = _arguments.image_input(name, input_shape, input_tensor)
    x = blocks.stem(x, channels, strides[0])
    x = blocks.react_stages(x, strides[1:], _EXTRA_BLOCKS, binarization)
    for i in range(1, _MLP_BLOCKS + 1):
        for j in range(1, _BI_MLPS + 1):
            x = blocks.bi_mlp(x, (short_range, long_range), binarization, f"mlp{i}_{j}")
        x = blocks.point(x, binarization, f"mlp{i}_point")
    if include_top:
        x = blocks.heads(x, _arguments.classes(name, num_classes), ("fc", "fc_dist"))
    model = tf.keras.Model(inputs, x, name=name)
    return _arguments.load_weights(model, weights, pytorch.MOBILENET)
