"""SavedModel folders.

Keras builds the layers that it knows from their configurations, and has TensorFlow load the
others as functions of its own operations, which run when they are called, and some on loading.
Where it does not know the model itself, or there are no layers, a signature is what there is.
"""

from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tf_keras.protobuf import saved_metadata_pb2

from larq_bcd.convert.load.code import is_known_to_keras, is_registered, refuse_code
from larq_bcd.convert.load.foreign import refuse_folder
from larq_bcd.convert.load.operations import refuse_operations
from larq_bcd.convert.load.problems import damaged, parse_json
from larq_bcd.convert.load.signature import model_of_signature

_METADATA, _GRAPH = "keras_metadata.pb", "saved_model.pb"


class SavedModel:
    """A folder with a SavedModel.

    Raises:
        ConversionError: if it is damaged, or none.
    """

    def __init__(self, path: Path):
        self._path = path
        if not (path / _GRAPH).is_file():
            refuse_folder(path)
        metadata = saved_metadata_pb2.SavedMetadata()
        if (path / _METADATA).is_file():
            try:
                metadata.ParseFromString((path / _METADATA).read_bytes())
            except DecodeError as error:
                raise damaged(path / _METADATA, error) from error
        self._nodes = metadata.nodes

    def refuse_code(self) -> None:
        """Raises an error for functions or operations that reach outside of tensors."""
        for config in self._configs():
            refuse_code(self._path, config)
        try:
            graphs = tf.__internal__.saved_model.parse_saved_model(str(self._path)).meta_graphs
        except OSError as error:
            raise damaged(self._path, error) from error
        for graph in graphs:
            refuse_operations(self._path, graph)

    def _configs(self) -> Iterator:
        for node in self._nodes:
            config = parse_json(self._path, node.metadata or "null")
            if isinstance(config, dict):
                # Losses and optimizers, which are not loaded here.
                config.pop("training_config", None)
                _forget_unknown(config.get("model_config"))
            _forget_unknown(config)
            yield config

    def deserialize(self, trust_code: bool):
        """Builds the object that the folder holds."""
        if self._keras_knows_the_model():
            return tf.keras.models.load_model(str(self._path), compile=False)
        return model_of_signature(self._path)

    def _keras_knows_the_model(self) -> bool:
        for node in self._nodes:
            if node.node_path == "root":
                name = parse_json(self._path, node.metadata).get("class_name")
                return is_known_to_keras(name) or is_registered(name)
        return False


def _forget_unknown(layer) -> None:
    """Drops the classes of layers that Keras does not know: it makes them of operations."""
    if not isinstance(layer, dict):
        return
    name = layer.get("class_name")
    if not is_known_to_keras(name) and not is_registered(name):
        layer.pop("class_name", None)
    config = layer.get("config")
    layers = config.get("layers") if isinstance(config, dict) else None
    for inner in layers if isinstance(layers, list) else []:
        _forget_unknown(inner)
