import pytest
from conversion_models import small_model

from larq_bcd.convert.flatbuffer import Flatbuffer
from larq_bcd.convert.graph import InferenceGraph
from larq_bcd.convert.lce import convert_model


@pytest.fixture(scope="session")
def small():
    return small_model()


@pytest.fixture(scope="session")
def small_file(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "small.keras"
    small.save(path)
    return path


@pytest.fixture
def converted():
    """Converts a model without any pass: the graph and the flatbuffer as it comes."""

    def run(model):
        content, _ = convert_model(model)
        return InferenceGraph(model), Flatbuffer(content)

    return run
