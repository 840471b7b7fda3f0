"""The metadata, read by the reference compiler of flatbuffers."""

import json
import shutil
import subprocess

from conversion_models import small_model

from larq_bcd.convert import FileOptions, convert
from larq_bcd.data.preprocessing import Description, Preprocessing
from larq_bcd.tflite import metadata_schema
from larq_bcd.tflite.metadata import read_metadata

# What the metadata schema of TensorFlow Lite, 1.5.0, says of the tables that are written.
SCHEMA = """
namespace tflite;
file_identifier "M001";
enum AssociatedFileType : byte { UNKNOWN = 0, DESCRIPTIONS = 1, TENSOR_AXIS_LABELS = 2 }
table AssociatedFile { name:string; description:string; type:AssociatedFileType; }
table FeatureProperties {}
enum ColorSpaceType : byte { UNKNOWN = 0, RGB = 1, GRAYSCALE = 2 }
table ImageSize { width:uint; height:uint; }
table ImageProperties { color_space:ColorSpaceType; default_size:ImageSize; }
union ContentProperties { FeatureProperties, ImageProperties }
table Content { content_properties:ContentProperties; }
table NormalizationOptions { mean:[float]; std:[float]; }
union ProcessUnitOptions { NormalizationOptions }
table ProcessUnit { options:ProcessUnitOptions; }
table Stats { max:[float]; min:[float]; }
table TensorMetadata {
  name:string; description:string; dimension_names:[string]; content:Content;
  process_units:[ProcessUnit]; stats:Stats; associated_files:[AssociatedFile];
}
table SubGraphMetadata {
  name:string; description:string; input_tensor_metadata:[TensorMetadata];
  output_tensor_metadata:[TensorMetadata];
}
table ModelMetadata {
  name:string; description:string; version:string; subgraph_metadata:[SubGraphMetadata];
  author:string; license:string; associated_files:[AssociatedFile]; min_parser_version:string;
}
root_type ModelMetadata;
"""


def test_flatc_reads_the_metadata_by_the_schema(tmp_path):
    flatc = shutil.which("flatc")
    assert flatc, "install flatc, as `make test-system` does"
    (tmp_path / "metadata.fbs").write_text(SCHEMA)
    options = FileOptions(
        description=Description(
            Preprocessing((12, 12), (0.5,) * 3, (0.25,) * 3, resize=None), tuple("abcde")
        )
    )
    standard = read_metadata(convert(small_model(), options=options).content).standard
    (tmp_path / "file.bin").write_bytes(metadata_schema.write(standard))
    command = [flatc, "--json", "--strict-json", "metadata.fbs", "--", "file.bin"]
    subprocess.run(command, cwd=tmp_path, check=True)
    read = json.loads((tmp_path / "file.json").read_text())
    assert read["name"] == "small"
    (image,) = read["subgraph_metadata"][0]["input_tensor_metadata"]
    assert image["content"]["content_properties_type"] == "ImageProperties"
    assert image["content"]["content_properties"]["color_space"] == "RGB"
    assert image["process_units"][0]["options"]["mean"] == [127.5] * 3
    (logits,) = read["subgraph_metadata"][0]["output_tensor_metadata"]
    assert logits["associated_files"][0]["type"] == "TENSOR_AXIS_LABELS"
