"""A flatbuffer with what is known about it."""

from dataclasses import dataclass

from larq_bcd.convert.errors import CheckError, FloatFallbackError
from larq_bcd.convert.report import ConversionReport


@dataclass(frozen=True, repr=False)
class ConversionResult:
    """A flatbuffer and what is known about it.

    Attributes:
        content: the bytes of the `.tflite` file.
        report: what was converted, and how it compares with Keras.
        plain: the file before the passes, with its paddings restored and a float32 head.
    """

    content: bytes
    report: ConversionReport
    plain: bytes

    def __repr__(self) -> str:
        return repr(self.report).replace(type(self.report).__name__, type(self).__name__, 1)

    def _repr_html_(self) -> str:
        return self.report._repr_html_()

    def require_binary(self) -> None:
        """Raises an error for layers that train as binary and ship as float.

        Raises:
            FloatFallbackError: if there are any, one line for each with its reason.
        """
        if self.report.fallbacks:
            lines = [f"{layer.name}: {layer.reason}" for layer in self.report.fallbacks]
            raise FloatFallbackError(
                f"{len(lines)} of the layers that train as binary would ship as float "
                "(--allow-float-fallback accepts that):\n  " + "\n  ".join(lines)
            )

    def require_equal(self) -> None:
        """Raises an error if the check has found a fault, or has not run without being waived.

        Raises:
            CheckError: with the faults, the first layer first.
        """
        check, replacement = self.report.check, self.report.replacement
        faults = [] if check is None else list(check.faults)
        if check is None and not self.report.is_check_waived:
            faults.append("it was not checked")
        if replacement is not None and replacement.max_difference != 0:
            faults.append(
                "with built-in operators the outputs differ by up to "
                f"{replacement.max_difference:.3g}, where they have to be the same bits"
            )
        if faults:
            more = f"\n  and {len(faults) - 5} more" if len(faults) > 5 else ""
            raise CheckError(
                "the flatbuffer does not compute what the model computes, so it is not "
                "written:\n  " + "\n  ".join(faults[:5]) + more
            )
