"""Networks to measure: untrained, but with the operators and shapes of the real ones."""

import os
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import larq
import larq_compute_engine as lce
import numpy as np
import tensorflow as tf

layers = tf.keras.layers


def zoo(name: str) -> tf.keras.Model:
    """A network of the zoo with random weights, batch norms and learned biases included."""
    from larq_bcd.models import get_model

    model = get_model(name)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "moving_variance" in weight.name:
            continue
        if "gamma" in weight.name or "alpha" in weight.name:
            weight.assign(rng.uniform(0.2, 1, weight.shape))
        else:
            spread = 0.05 if len(weight.shape) > 1 else 0.3
            weight.assign(rng.normal(0, spread, weight.shape))
    return model


def quicknet() -> tf.keras.Model:
    """A network like QuickNet: binary 3x3 convolutions with a fused RELU, and shortcuts."""
    x = entry = tf.keras.Input((224, 224, 3))
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(layers.Conv2D(64, 1, use_bias=False)(x))
    for channels in (64, 128, 256, 512):
        if channels > 64:
            x = layers.MaxPooling2D(3, strides=2, padding="same")(layers.ReLU()(x))
            x = layers.BatchNormalization()(layers.Conv2D(channels, 1, use_bias=False)(x))
        for _ in range(4):
            y = larq.layers.QuantConv2D(
                channels, 3, padding="same", pad_values=1.0, activation="relu", use_bias=False,
                input_quantizer="ste_sign", kernel_quantizer="ste_sign",
                kernel_constraint="weight_clip",
            )(x)  # fmt: skip
            x = x + layers.BatchNormalization()(y)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return tf.keras.Model(entry, layers.Dense(1000)(x))


def binary_convolution(size: int, channels_in: int, channels_out: int, window: int):
    """One convolution between a quantization and float."""
    entry = tf.keras.Input((size, size, channels_in))
    result = larq.layers.QuantConv2D(
        channels_out, window, padding="same", pad_values=1.0, use_bias=False,
        input_quantizer="ste_sign", kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
    )(entry)  # fmt: skip
    return tf.keras.Model(entry, result)


def convert(model: tf.keras.Model) -> bytes:
    """Returns the LCE file of a model."""
    return lce.convert_keras_model(model)


def convert_float(model: tf.keras.Model) -> bytes:
    """Returns the plain TensorFlow Lite file of a model."""
    return tf.lite.TFLiteConverter.from_keras_model(model).convert()


def convert_int8(model: tf.keras.Model) -> bytes:
    """Returns the TensorFlow Lite file of a model, quantized on random images."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    shape = (1, *model.input_shape[1:])
    converter.representative_dataset = lambda: [
        [tf.random.stateless_normal(shape, (seed, 0))] for seed in range(8)
    ]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


STORE = Path(__file__).resolve().parent.parent / "build/bench"
KINDS = {
    "MobileNet": ("int8", "float"),
    "MobileNetV2": ("int8", "float"),
    "BCDNetA": ("lce", "optimized", "int8 head"),
    "BCDNetB": ("lce", "optimized", "int8 head"),
}


def _write(name: str, kind: str) -> bytes:
    from larq_bcd.convert import convert as optimize
    from larq_bcd.convert.head import quantize_head
    from larq_bcd.convert.input_type import set_input_type
    from larq_bcd.convert.stem import quantize_stem
    from larq_bcd.data.preprocessing import Preprocessing
    from larq_bcd.tflite.graph import Graph

    if name.startswith("MobileNet"):
        model = getattr(tf.keras.applications, name)(weights=None)
        return convert_int8(model) if kind == "int8" else convert_float(model)
    if kind == "int8 head":
        graph = Graph(stored(name, "optimized"))
        quantize_head(graph, "int8")
        return graph.write()
    if kind == "int8 stem":  # beside the head, on images that are bytes
        graph = Graph(stored(name, "int8 head"))
        set_input_type(graph, Preprocessing(encoding="uint8"))
        shape = (8, *graph.inputs[0].shape[1:])
        quantize_stem(graph, [np.random.default_rng(0).integers(0, 256, shape, np.uint8)])
        return graph.write()
    model = quicknet() if name == "QuickNet" else zoo(name)
    return convert(model) if kind == "lce" else optimize(model).content


def stored(name: str, kind: str) -> bytes:
    """Returns a file of a kind that `KINDS` has, converted when it is first asked for."""
    path = STORE / f"{name} {kind}.tflite"
    if not path.exists():
        STORE.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(_write(name, kind))
        part.rename(path)
    return path.read_bytes()


def store_all() -> None:
    """Converts all that are not there yet."""
    for name, kinds in KINDS.items():
        for kind in kinds:
            stored(name, kind)
            print(f"{name} {kind}", flush=True)
