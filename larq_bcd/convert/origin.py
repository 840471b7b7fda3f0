"""What a file keeps about how it was made."""

from contextlib import suppress
from importlib import metadata

from larq_bcd.convert.options import FileOptions
from larq_bcd.convert.report import NOT_CHECKED, ConversionReport


def origin_of(report: ConversionReport, options: FileOptions) -> dict:
    """What the file keeps about how it was made; the same for the same model."""
    packages = ("larq-bcd", "larq-compute-engine", "larq", "tensorflow", "tf-keras")
    found = {}
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    origin = {
        "versions": found,
        "binary_layers": sum(layer.ships_as == "binary" for layer in report.layers),
        "float_layers": sum(layer.ships_as == "float" for layer in report.layers),
        "float_fallbacks": [layer.name for layer in report.fallbacks],
        "operators": report.optimization.operators_after,
        "passes": [done.name for done in report.optimization.passes],
        "head": options.head,
        "stem": options.stem,
        "ops": options.ops,
    }
    if options.recipe_sha256 is not None:
        origin["recipe_sha256"] = options.recipe_sha256
    if report.check is not None:
        origin["check"] = {
            "verdict": report.check.verdict,
            "tolerance_factor": report.check.tolerance_factor,
            "inputs": report.check.inputs,
            "signs_compared": report.check.compared,
            "flips": report.check.flips,
            "same_arg_max": report.check.same_arg_max,
        }
    elif report.is_check_waived:
        origin["check"] = {"verdict": NOT_CHECKED}
    return origin
