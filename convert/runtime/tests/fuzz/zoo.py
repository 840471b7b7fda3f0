"""Writes small converted networks of the zoo, for the damage that LiteRT itself has to survive.

Every operator that the converters of LCE and of larq_bcd write occurs in one of them.
"""

import os
import sys
from collections import Counter
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import networks
import numpy as np
from larq_bcd.convert import FileOptions, convert
from larq_bcd.models import get_model, model_info

# One for each way to build a block; those left out have no operator of their own.
NETWORKS = ("BCDNetB", "BNextT", "BinaryCCT7", "BinaryMixerS", "DyBCNNA", "MobileNetV1")


def files():
    """Yields names and files: as LCE writes them, and as larq_bcd does."""
    rng = np.random.default_rng(0)
    for name in NETWORKS:
        model = get_model(name, **model_info(name).reduced)
        for weight in model.weights:
            if "variance" not in weight.name:
                weight.assign(weight + 0.1 * rng.normal(size=weight.shape))
        result = convert(model, allow_float_fallback=True, options=FileOptions(head="int8"))
        yield f"{name}_plain", result.plain
        yield name, result.content
        if name == "BCDNetB":
            options = FileOptions(ops="builtin", input_type="uint8")
            yield f"{name}_builtin", convert(model, options=options).content
        if not model_info(name).is_binary:
            yield f"{name}_int8", networks.convert_int8(model)


def main(directory: Path) -> None:
    """Writes everything that is not there yet, and says which operators occur."""
    from larq_bcd.tflite.graph import Graph

    directory.mkdir(parents=True, exist_ok=True)
    found: Counter = Counter()
    for name, content in files():
        (directory / f"{name}.tflite").write_bytes(content)
        found.update(node.type for node in Graph(content).nodes)
        print(name, len(content), flush=True)
    print(", ".join(f"{name} {count}" for name, count in found.most_common()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
