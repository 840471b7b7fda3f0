"""Files, inputs and results that travel to another machine to be compared there.

`write DIRECTORY` computes results here; `compare DIRECTORY` runs the same files on the machine
it is started on, which needs NumPy and larq_bcd_runtime only.
"""

import sys
from pathlib import Path

import numpy as np

from larq_bcd_runtime import Interpreter

RANDOM_CONVOLUTIONS = 120


def random_convolution(rng: np.random.Generator):
    """Draws a convolution, with every option in its whole range."""
    from equations import NONE, RELU, RELU6, RELU_N1_TO_1, SAME, VALID, Convolution

    padding = int(rng.choice([SAME, VALID]))
    window, dilations = rng.integers(1, 5, 2), rng.integers(1, 3, 2)
    fits = (window - 1) * dilations + 1 if padding == VALID else np.ones(2, int)
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    group_in = int(rng.choice([32, 64])) if groups > 1 else int(rng.integers(1, 300))
    height, width = fits + rng.integers(0, 8, 2)
    return Convolution(
        batch=int(rng.integers(1, 3)),
        height=int(height),
        width=int(width),
        channels_in=groups * group_in,
        channels_out=groups * int(rng.integers(1, 150 // groups)),
        window=tuple(int(size) for size in window),
        strides=tuple(int(size) for size in rng.integers(1, 3, 2)),
        dilations=tuple(int(size) for size in dilations),
        groups=groups,
        padding=padding,
        pad_values=int(rng.integers(0, 2)),
        activation=int(rng.choice([NONE, RELU, RELU_N1_TO_1, RELU6])),
        output=[np.float32, np.int8, np.int32][rng.integers(3)],
        seed=int(rng.integers(1 << 16)),
    )


def quantizer_file(channels: int, dtype: type) -> bytes:
    """A file that quantizes and dequantizes."""
    from flatfile import FlatFile

    file = FlatFile()
    scale = 0.1 if dtype is np.int8 else None
    entry = file.tensor((1, 5, channels), dtype, scale=scale, zero_point=3)
    packed = file.tensor((1, 5, -(-channels // 32)), np.int32)
    result = file.tensor((1, 5, channels), dtype, scale=scale, zero_point=3)
    file.custom("LceQuantize", [entry], [packed])
    file.custom("LceDequantize", [packed], [result])
    return file.build([entry], [result])


def network_file() -> bytes:
    """A converted network: binary blocks between float operators of TensorFlow Lite."""
    import larq
    import larq_compute_engine as lce
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    entry = x = tf.keras.Input((16, 16, 3))
    x = tf.keras.layers.Conv2D(64, 3, strides=2, padding="same")(x)
    for pad_values in (0.0, 1.0):
        y = larq.layers.QuantConv2D(
            64, 3, padding="same", pad_values=pad_values, use_bias=False,
            input_quantizer="ste_sign", kernel_quantizer="ste_sign",
        )(x)  # fmt: skip
        x = x + tf.keras.layers.BatchNormalization()(y)
    x = tf.keras.layers.GlobalAveragePooling2D()(x)
    return lce.convert_keras_model(tf.keras.Model(entry, tf.keras.layers.Dense(10)(x)))


def cases():
    """Yields a name, a file and its input; the results have to be the same bits."""
    from embedding import EmbeddingGraph, embedded_network, statistics_network
    from equations import Convolution, pack, random_data
    from files import convolution_file
    from moving import MovingGraph
    from stems import StemGraph, padded_stem
    from test_fusion import Graph, react_block
    from test_moves import shift_mlp

    rng = np.random.default_rng(0)
    for index in range(RANDOM_CONVOLUTIONS):
        c = random_convolution(rng)
        data = random_data(c)
        yield f"convolution{index}", convolution_file(c, data), pack(data.inputs < 0)
    # A word alone, and words at which sums of 16 bits are full, all bits of which differ.
    for depth in (1, 8189, 8190, 8192):
        c = Convolution(
            height=1, width=5, channels_in=32 * depth, channels_out=18, window=(1, 1)
        )
        data = random_data(c)
        data.inputs[:] = 1
        data.filters[:] = -1
        yield f"deep{depth}", convolution_file(c, data), pack(data.inputs < 0)
    c = Convolution(height=9, channels_in=64, channels_out=96)
    data = random_data(c)
    data.filters[:] = data.multiplier[:] = data.bias[:] = -1
    yield "filled", convolution_file(c, data, fills=True), pack(data.inputs < 0)
    for channels in (20, 32, 64, 96):
        graph = Graph(channels, 7, 9)
        entry = graph.floats(channels)
        result = react_block(graph, entry, channels, doubles=True)
        image = rng.normal(size=(2, 7, 9, channels)).astype(np.float32)
        yield f"block{channels}", graph.file.build([entry], [result]), image
    for how in ("floats", "slices", "gather"):
        graph = MovingGraph(0, 7, 7)
        entry = graph.floats(128)
        result = shift_mlp(graph, entry, 128, how)
        image = rng.normal(size=(1, 7, 7, 128)).astype(np.float32)
        yield f"shift_{how}", graph.file.build([entry], [result]), image
    for channels in (20, 64):
        graph = EmbeddingGraph(channels, 7, 9)
        entry, logits = embedded_network(graph, channels, 10)
        image = rng.normal(size=(2, 7, 9, channels)).astype(np.float32)
        yield f"embedding{channels}", graph.file.build([entry], [logits]), image
        graph = EmbeddingGraph(channels, 7, 9)
        entry, result = statistics_network(graph, channels)
        yield f"statistics{channels}", graph.file.build([entry], [result]), image
    for channels in (1, 16, 40, 64):
        graph = StemGraph(channels, 23, 15)
        entry, results = padded_stem(graph, channels)
        image = rng.normal(size=(2, 23, 15, 3)).astype(np.float32)
        yield f"stem{channels}", graph.file.build([entry], results[:1]), image
    for channels in (1, 16, 31, 33, 64, 100):
        floats = rng.normal(size=(3, 5, channels)).astype(np.float32)
        floats.reshape(-1)[:3] = [-0.0, np.nan, -1e-45]
        yield f"floats{channels}", quantizer_file(channels, np.float32), floats
        integers = rng.integers(-128, 128, (3, 5, channels), dtype=np.int8)
        yield f"int8s{channels}", quantizer_file(channels, np.int8), integers


def write(directory: Path) -> None:
    """Writes every case and this machine's results."""
    import os

    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.iterdir():
        old.unlink()
    everything = list(cases())
    image = np.random.default_rng(1).normal(size=(1, 16, 16, 3)).astype(np.float32)
    everything.append(("network", network_file(), image))
    for name, file, inputs in everything:
        (directory / f"{name}.tflite").write_bytes(file)
        result = Interpreter(file).predict(inputs)
        np.savez(directory / f"{name}.npz", inputs=inputs, result=result)


def compare(directory: Path) -> None:
    """Runs every case here, and fails if one differs."""
    paths = sorted(directory.glob("*.tflite"))
    wrong = []
    for path in paths:
        case = np.load(path.with_suffix(".npz"))
        for threads, kernels in ((1, "auto"), (2, "auto"), (1, "reference")):
            interpreter = Interpreter(path, num_threads=threads, kernels=kernels)
            got, expected = interpreter.predict(case["inputs"]), case["result"]
            if path.stem == "network":
                # The float operators around the binary ones round as each machine does.
                same = np.allclose(got, expected, rtol=0, atol=1e-4)
            else:
                same = got.dtype == expected.dtype and got.tobytes() == expected.tobytes()
            if not same:
                wrong.append(f"{path.stem}, {threads} threads, {kernels} kernels")
    print(f"{len(paths) - len({w.split(',')[0] for w in wrong})} of {len(paths)} files agree")
    if wrong or len(paths) < RANDOM_CONVOLUTIONS:
        sys.exit("\n".join(["differing:", *wrong]))


if __name__ == "__main__":
    {"write": write, "compare": compare}[sys.argv[1]](Path(sys.argv[2]))
