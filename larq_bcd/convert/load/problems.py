"""The errors of files that cannot be read."""

import json
from pathlib import Path

from larq_bcd.convert.errors import ConversionError


def cause(error: BaseException | str) -> str:
    """The first sentence of an error, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


def damaged(path: Path, error: BaseException) -> ConversionError:
    """The error for a file that its own format does not allow."""
    return ConversionError(f"{path} is damaged ({cause(error)}): save the model again.")


def too_large(path: Path) -> ConversionError:
    """The error for a file that memory does not suffice for."""
    return ConversionError(
        f"{path} takes more memory than there is: free some; if the file is small, it is "
        "damaged: save the model again."
    )


def parse_json(path: Path, text: str | bytes):
    """Parses the configuration of a model.

    Raises:
        ConversionError: if it is not valid JSON, or nested too deep.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConversionError(
            f"{path} is damaged: its configuration is not valid JSON. Save the model again."
        ) from error


def refuse_keras_3(path: Path, metadata) -> None:
    """Raises an error for a file of a Keras that tf-keras cannot read.

    Args:
        path: the file, for the message.
        metadata: what it says of the Keras that saved it, whatever that is.
    """
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    if isinstance(version, str) and version.partition(".")[0] == "3":
        raise ConversionError(
            f"{path} was saved by Keras {version}, whose files tf-keras does not read: write "
            f"it there with model.export({path.stem!r}), and give that folder."
        )
