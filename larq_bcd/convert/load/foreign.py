"""Files and folders that hold something else than a Keras model, and what to do with them."""

from pathlib import Path
from typing import NoReturn

from larq_bcd.convert.errors import ConversionError
from larq_bcd.models.state_dict import format_of

_REBUILD = "build the model, load them with model.load_weights and save it with model.save"
_PART = "is a part of a SavedModel: give the folder that it stands in"
# By the name, or else by its end.
_OF_NAMES = {
    "saved_model.pb": _PART,
    "keras_metadata.pb": _PART,
    ".onnx": "is an ONNX model, which is not converted: give the Keras model it was made of",
    ".index": f"holds weights only: {_REBUILD}",
    ".py": "is Python code: run it, and give the model that it saves",
    ".json": "holds no weights: give what model.save wrote",
    ".yaml": "holds no weights: give what model.save wrote",
}
_TFLITE = b"TFL3"
# The number that PyTorch's older files begin with, behind the protocol of the pickle.
_OLDER_TORCH = bytes.fromhex("8002 8a0a 6cfc 9c46 f920 6aa8 5019")


def refuse_foreign(path: Path) -> None:
    """Raises an error for a file of a known kind that is not a Keras model.

    Raises:
        ConversionError: with what it is.
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(len(_OLDER_TORCH))
    if start[4:8] == _TFLITE:
        raise ConversionError(
            f"{path} is what a conversion makes: give the Keras model that it was made of, or "
            "look at the file with larq-bcd show."
        )
    kind = format_of(path)
    if kind == "safetensors" or (
        kind == "torch" and (start == _OLDER_TORCH or start.startswith(b"PK"))
    ):
        raise ConversionError(
            f"{path} holds the weights of a PyTorch network: larq-bcd import makes a Keras "
            "model of an official checkpoint; build any other network in Keras."
        )
    known = _OF_NAMES.get(path.name) or _OF_NAMES.get(path.suffix)
    if known is not None and kind != "keras":
        raise ConversionError(f"{path} {known}.")


def refuse_prefix(path: Path) -> None:
    """Raises an error for the name of a checkpoint, which is no file but what files begin with.

    Raises:
        ConversionError: if there is such a checkpoint.
    """
    if Path(f"{path}.index").is_file():
        raise ConversionError(f"{path} {_OF_NAMES['.index']}.")


def refuse_folder(path: Path) -> NoReturn:
    """Raises an error for a folder that is not a SavedModel.

    Raises:
        ConversionError: with what stands in it.
    """
    models = sorted(str(one) for one in (*path.glob("*.keras"), *path.glob("*.h5")))
    if models:
        hint = f"give a file in it, such as {models[0]}."
    elif any(path.glob("*.index")):
        raise ConversionError(f"{path} holds weights only: {_REBUILD}.")
    else:
        hint = "give one with saved_model.pb, or a .keras or .h5 file."
    raise ConversionError(f"{path} is a folder but not a SavedModel: {hint}")
