"""Networks as users have them, converted by TensorFlow's converter in its ways to quantize."""

import functools

import numpy as np
import tensorflow as tf
import tf_keras as keras
from keras_layers import LAYERS

layers = keras.layers
IMAGE = (16, 16, 8)
MODES = ("float32", "float16", "dynamic", "int8", "uint8")


def application(name: str, size: int, **options):
    return lambda: getattr(keras.applications, name)(
        input_shape=(size, size, 3), weights=None, **options
    )


def stack(*parts, shape=IMAGE, batch=None):
    """A network of one layer after the other; made when it is called."""

    def build():
        x = start = layers.Input(shape, batch_size=batch)
        for make in parts:
            x = make()(x)
        return keras.Model(start, x)

    return build


def function(compute, shape=IMAGE):
    return stack(lambda: layers.Lambda(compute), shape=shape)


def transformer():
    x = start = layers.Input((16, 32))
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(4, 8)(x, x))
    hidden = layers.Dense(32)(layers.Dense(64, activation="gelu")(x))
    x = layers.LayerNormalization()(x + hidden)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(start, layers.Dense(10, activation="softmax")(x))


def autoencoder():
    start = layers.Input((32, 32, 3))
    full = layers.Conv2D(8, 3, padding="same", activation="relu")(start)
    half = layers.Conv2D(16, 3, padding="same", activation="swish")(layers.MaxPool2D()(full))
    x = layers.Concatenate()([layers.Conv2DTranspose(8, 2, strides=2)(half), full])
    x = layers.Concatenate()([x, layers.UpSampling2D(interpolation="bilinear")(half)])
    return keras.Model(start, layers.Conv2D(2, 1)(x))


NETWORKS = {
    "MobileNet": application("MobileNet", 96, alpha=0.25),
    "MobileNetV2": application("MobileNetV2", 96, alpha=0.35),
    "MobileNetV3Small": application("MobileNetV3Small", 96),
    "EfficientNetB0": application("EfficientNetB0", 64),
    "ResNet50": application("ResNet50", 64),
    "transformer": transformer,
    "autoencoder": autoencoder,
    "depthwise_without_bias": stack(
        lambda: layers.DepthwiseConv2D(3, use_bias=False),
        lambda: layers.DepthwiseConv2D(3, 2, depth_multiplier=2, padding="same"),
        lambda: layers.DepthwiseConv2D(3, dilation_rate=2, padding="same"),
        lambda: layers.SeparableConv2D(8, 3, use_bias=False),
    ),
    "grouped": stack(
        lambda: layers.Conv2D(8, 3, groups=4),
        lambda: layers.Conv2D(8, 3, dilation_rate=2, padding="same", use_bias=False),
        lambda: layers.PReLU(shared_axes=[1, 2]),
        lambda: layers.AveragePooling2D(20, padding="same"),
    ),
    "conv1d": stack(
        lambda: layers.Conv1D(8, 3, dilation_rate=2, padding="causal"),
        lambda: layers.MaxPool1D(),
        lambda: layers.GlobalMaxPool1D(),
        shape=(32, 4),
    ),
    "conv3d": stack(lambda: layers.Conv3D(4, 3), shape=(8, 8, 8, 2)),
    "lstm": stack(lambda: layers.LSTM(16), lambda: layers.Dense(4), shape=(12, 8), batch=1),
    "gru": stack(lambda: layers.GRU(16, unroll=True), lambda: layers.Dense(4), shape=(6, 8)),
    "activations": function(
        lambda x: tf.nn.elu(x) + tf.nn.leaky_relu(x) * tf.nn.selu(x) + tf.nn.softplus(x)
    ),
    "arithmetic": function(
        lambda x: tf.exp(x) / (1 + abs(x)) + tf.math.rsqrt(x * x + 1) + tf.floor(x) + tf.sign(x)
    ),
    "choices": function(lambda x: tf.where((x > 0) & ~(x >= 1), x, tf.maximum(x * 2, -1.0))),
    "reductions": function(
        lambda x: tf.reduce_max(x, 1)[:, 0] * tf.reduce_sum(x, [1, 2]) + tf.reduce_mean(x)
    ),
    "minima": function(lambda x: tf.reduce_min(x, [1, -1])),
    "slices": function(lambda x: tf.concat(tf.split(x[:, 1:-1, ::2, ::-1], 4, -1)[::-1], -1)),
    "slices_of_unequal_sizes": function(lambda x: tf.split(x, [1, 3, 4], -1)[1]),
    "stacks": function(lambda x: tf.stack(tf.unstack(x, axis=1)[::-1], 2)[:, None]),
    "gathers": function(lambda x: tf.gather(tf.tile(x, [1, 2, 1, 3]), [0, 2, 1, 7], axis=-1)),
    "pads": function(lambda x: tf.pad(x, [[0, 0], [1, 1], [2, 2], [0, 0]])),
    "blocks": function(lambda x: tf.nn.depth_to_space(tf.nn.space_to_depth(x, 4), 2)),
    "resizes": function(lambda x: tf.image.resize(tf.image.resize(x, (7, 9)), (5, 5))),
    "shapes": function(lambda x: tf.reshape(x + tf.zeros_like(x), (tf.shape(x)[0], -1))),
    "five_dimensions": function(lambda x: x[:, :, None] * x[:, None], shape=(4, 5, 6)),
}  # fmt: skip


def calibration(model, rng) -> list[np.ndarray]:
    """Returns a sample for each input, in the order of their names."""
    arrays = []
    for x in model.inputs:
        shape = tuple(size or 1 for size in x.shape)
        values = rng.normal(size=shape) if x.dtype == tf.float32 else rng.integers(0, 9, shape)
        arrays.append(values.astype(x.dtype.as_numpy_dtype))
    return arrays


# Large ones, for which two ways have to do.
APPLICATIONS = {
    "DenseNet121": application("DenseNet121", 64),
    "EfficientNetV2B0": application("EfficientNetV2B0", 64),
    "InceptionV3": application("InceptionV3", 96),
    "MobileNetV3Large": application("MobileNetV3Large", 96),
    "NASNetMobile": application("NASNetMobile", 96),
    "ResNet50V2": application("ResNet50V2", 64),
    "VGG16": application("VGG16", 32),
    "Xception": application("Xception", 96),
}


@functools.cache
def convert(name: str, mode: str) -> bytes:
    """Returns a network's file; modes are those of `MODES`, and int16."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model = (NETWORKS | APPLICATIONS | LAYERS)[name]()
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if mode == "float32":
        return converter.convert()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    elif mode != "dynamic":
        rng = np.random.default_rng(0)
        converter.representative_dataset = lambda: (calibration(model, rng) for _ in range(3))
        sets = tf.lite.OpsSet
        converter.target_spec.supported_ops = [
            sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            if mode == "int16"
            else sets.TFLITE_BUILTINS_INT8
        ]
        if mode != "int16":
            converter.inference_input_type = getattr(tf, mode)
            converter.inference_output_type = getattr(tf, mode)
    return converter.convert()
