"""Fails unless the results of `make demo` keep what the README promises of the digits."""

import json
import sys
from pathlib import Path

results = json.loads(Path(sys.argv[1]).read_text())
promises = {
    "Keras accuracy of at least 97 %": results["keras_accuracy"] >= 0.97,
    ".tflite accuracy of at least 97 %": results["tflite_accuracy"] >= 0.97,
    ".tflite within 0.2 points of Keras": abs(
        results["keras_accuracy"] - results["tflite_accuracy"]
    )
    <= 0.002,
    "no binary layer left in float": results["float_fallbacks"] == [],
}
for promise, kept in promises.items():
    print(f"{'kept' if kept else 'BROKEN'}: {promise}")
sys.exit(not all(promises.values()))
