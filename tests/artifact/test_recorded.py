"""The images that a file names: known sources are loaded by its word, a folder is not."""

from dataclasses import replace

import pytest

from pairnet.artifact.inspection import inspect
from pairnet.artifact.recorded import recorded_source
from pairnet.errors import ArgumentError, ModelError
from pairnet.serving.built_in import built_in_model


@pytest.fixture(scope="module")
def metadata():
    return inspect(built_in_model().read_bytes(), "built-in")


@pytest.mark.parametrize("source", ["mnist", "mnist5k", "glyphs", "glyphs:2000", "glyphs:2000:7"])
def test_known_sources_are_followed(source, metadata):
    assert recorded_source(replace(metadata, data_source=source)) == source


@pytest.mark.parametrize("source", ["auto", "mine", "glyphs:", "glyphs:1:2:3", "mnist5k.", "emnist"])
def test_other_names_are_not_followed(source, metadata):
    with pytest.raises(ArgumentError, match=f"expected `data`: the file names the images '{source}', .*: add `data`"):
        recorded_source(replace(metadata, data_source=source))


def test_a_folder_is_named_by_the_user(metadata):
    with pytest.raises(ArgumentError, match="the file does not say where they are: add `data` idx:PATH"):
        recorded_source(replace(metadata, data_source="idx:FOLDER", data="idx:mine"))


@pytest.mark.parametrize(
    "source", ["idx:/dev", "idx:~", "idx:../x", "idx:", "/etc", "~/x", "idx:folder", "\\\\host\\x"]
)
def test_no_metadata_names_a_folder(source, metadata):
    with pytest.raises(ModelError, match=r"metadata data_source: expected the name of a data source"):
        replace(metadata, data_source=source)
