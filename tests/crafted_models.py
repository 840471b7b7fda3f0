"""Files of models as somebody may craft them who means harm."""

import json
import zipfile

import h5py
import tensorflow as tf
from tf_keras.protobuf import saved_metadata_pb2

layers = tf.keras.layers
FORMATS = ("model.keras", "model.h5", "folder")


def identity_model():
    """A model with a layer that names a function of TensorFlow's."""
    image = tf.keras.Input((4, 4, 3))
    return tf.keras.Model(image, tf.identity(layers.Conv2D(3, 1, name="conv")(image)))


def save(model, path):
    """Saves a model in the format that the name of the file or folder tells."""
    model.save(path, **({} if path.suffix else {"save_format": "tf"}))
    return path


def change_configs(path, change):
    """Rewrites the configurations in a file, each changed in place."""
    if path.is_dir():
        metadata = saved_metadata_pb2.SavedMetadata()
        metadata.ParseFromString((path / "keras_metadata.pb").read_bytes())
        for node in metadata.nodes:
            node.metadata = _changed(node.metadata, change)
        (path / "keras_metadata.pb").write_bytes(metadata.SerializeToString())
    elif path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = _changed(file.attrs["model_config"], change)
    else:
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        parts["config.json"] = _changed(parts["config.json"], change)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
    return path


def _changed(text, change):
    config = json.loads(text)
    change(config)
    return json.dumps(config)


def dictionaries(config):
    """Every dictionary in a configuration."""
    if isinstance(config, dict):
        yield config
        for value in config.values():
            yield from dictionaries(value)
    elif isinstance(config, list):
        for value in config:
            yield from dictionaries(value)


def naming(function, argument):
    """A change that lets the layer of `identity_model` call a function on an argument."""

    def change(config):
        for entry in dictionaries(config):
            if entry.get("class_name") == "TFOpLambda":
                entry["config"]["function"] = function
                entry["inbound_nodes"] = [["_CONSTANT_VALUE", -1, argument, {}]]

    return change
