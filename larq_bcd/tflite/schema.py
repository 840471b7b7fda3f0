"""The bindings to the schema of the files, as TensorFlow ships them.

They know all that the converters of this machine write, and are there in every supported
set-up. They are taken from TensorFlow's folder by themselves: the package imports Keras, of
which they need nothing.
"""

import importlib.util
from pathlib import Path
from typing import Any


def _bindings() -> Any:
    package = importlib.util.find_spec("tensorflow")
    assert package is not None
    assert package.submodule_search_locations is not None
    folder = Path(package.submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location(
        f"{__name__}.bindings", folder / "lite" / "python" / "schema_py_generated.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


schema = _bindings()
