"""Names that a user chooses from, known without TensorFlow, so that help can list them."""

# Types of the weights of the dense layers before the outputs.
HEADS = ("float32", "float16", "int8")
# What the first convolutions compute in.
STEMS = ("float32", "int8")
INPUT_TYPES = ("float32", "uint8", "int8")
OUTPUT_TYPES = ("float32", "int8")
OPS = ("lce", "builtin")
# Passes over the file, in the order in which they run.
PASSES = (
    "common",
    "movement",
    "padding",
    "gains",
    "differences",
    "offsets",
    "zeros",
    "sums",
    "reshapes",
)
STRATEGIES = ("auto", "none", "mirrored", "multi_worker", "tpu")
SUMMARY_FORMATS = ("csv", "json", "table")
# Inputs of the check of a conversion, where nothing else is said.
CHECK_INPUTS = 8
# The most that a calibration looks at.
CALIBRATION_INPUTS = 100
