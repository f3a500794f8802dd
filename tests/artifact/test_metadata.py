"""Metadata of a file: text and values convert both ways, and each value that no export writes is refused by key."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairnet.artifact.metadata import FileMetadata, from_text, keys
from pairnet.errors import ModelError
from pairnet.records.seeds import Seeds
from pairnet.wording import is_plain, shown

VALID = {
    "pairnet": "1",
    "variant": "final_model",
    "structure": "both images: [conv(1,32,3) P(2) D(0.4)] | head: fc(256,1) | auxiliary, both images: fc(128,10)",
    "parameters": "155275",
    "part": "joint",
    "input": "images",
    "precision": "fp32",
    "data": "mnist5k",
    "data_source": "mnist5k",
    "data_checksum": "ab" * 32,
    "pairs": "1000",
    "test_pairs": "1000",
    "seeds": '{"train_draw": 0, "test_draw": 1, "weights": 0, "order": 0}',
    "mean": "33.31842145",
    "std": "78.5",
    "polarity": "light on dark",
    "origin": "pairnet",
    "recipe": '{"epochs": 25, "betas": [0.9, 0.999], "warp": null}',
    "run": "0123456789abcdef01234567",
    "run_accuracy": "0.957",
    "test_accuracy": "0.957",
    "versions": '{"trained": {"python": "3.11.7"}, "exported": {"torch": "2.11.0+cpu"}}',
    "revision": "0123456789ab-dirty",
    "run_revision": "unknown",
    "weights_sha256": "cd" * 32,
}


def test_text_and_values_convert_both_ways():
    metadata = from_text(VALID)
    assert metadata.to_text() == VALID
    assert (metadata.input_kind, metadata.mean, metadata.pairs, metadata.seeds.test_draw) == (
        "images", 33.31842145, 1000, 1
    )  # fmt: skip
    assert metadata.recipe["betas"] == [0.9, 0.999]
    assert metadata.moments.std == 78.5


@given(mean=st.floats(0, 255), std=st.floats(5e-6, 128), accuracy=st.floats(0, 1), seed=st.integers(0, 2**63 - 1))
def test_numbers_are_restored_exactly(mean, std, accuracy, seed):
    values = {**VALID, "mean": repr(mean), "std": repr(std), "test_accuracy": repr(accuracy)}
    values["seeds"] = json.dumps({"train_draw": seed, "test_draw": seed, "weights": seed, "order": seed})
    metadata = from_text(values)
    assert (metadata.mean, metadata.std, metadata.test_accuracy) == (mean, std, accuracy)
    assert metadata.seeds == Seeds(train_draw=seed, test_draw=seed, weights=seed, order=seed)
    assert metadata.to_text() == values


def test_keys_of_a_newer_version_are_ignored():
    assert from_text({**VALID, "colour": "\x1b[31m"}) == from_text(VALID)


def test_images_of_an_older_file_are_light_on_dark():
    assert from_text({key: value for key, value in VALID.items() if key != "polarity"}) == from_text(VALID)
    assert from_text({**VALID, "polarity": "dark on light"}).to_text()["polarity"] == "dark on light"


SEEDS = '{"train_draw": %s, "test_draw": 1, "weights": 0, "order": 0}'
REFUSED = {
    "input": ["foo"],
    "part": ["tail"],
    "precision": ["fp8"],
    "mean": ["abc", "nan", "1_0", " 1", "256", "1.0.0"],
    "std": ["0", "-1.0", "inf", "1e999", "1e-300", "4e-6", "129"],
    "pairs": ["0", "٣", "9" * 5000, "1000000000"],
    "test_pairs": ["0", "true", "100000000000000000"],
    "parameters": ["-1", "1.0", "1000000000"],
    "polarity": ["dark", "", "[red]dark on light"],
    "run_accuracy": ["1.1"],
    "test_accuracy": ["-0.1"],
    "seeds": ["[]", "{}", SEEDS % -1, SEEDS % 0.5, SEEDS % "true", SEEDS % 2**63],
    "recipe": [
        *("[]", "[" * 100_000, '{"a":' * 20 + "1" + "}" * 20, '{"a":' * 20_000, '{"epochs": NaN}', '{"a": "[bold]x"}'),
        *('{"a": "\\u001b]0;title\\u0007"}', '{"warp": {"[bold]": 1}}', '{"betas": ["\\u202e"]}'),
    ],
    "versions": ['{"trained": "3.11"}', '{"trained": {"python": "[red]3"}}', "null"],
    "variant": ["[link=http://example.org]final_model[/link]", "final\x1b[2Jmodel", "final\nmodel"],
    "data": ["mnist\u202e5k", "x" * 301],
    "data_source": [
        *("x" * 100_001, "", "idx:/dev", "idx:~/pictures", "idx:.", "/dev", "idx:FOLDER/..", "glyphs:20 ", "mnist\n"),
    ],
    "data_checksum": ["AB" * 32, "ab" * 32 + "\n"],
    "structure": [
        "",
        "[bold]fc(392,1)[/bold]",
        "both images: [bold] | head: fc(2,1)",
        "D(" + "9" * 400 + ")",
        " ".join(["BN"] * 9000),
    ],
    "run": ["\x07"],
    "revision": ["]"],
    "weights_sha256": ["0", b"\xff"],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in REFUSED.items() for value in values])
def test_a_value_that_no_export_writes_is_refused(key, value):
    with pytest.raises(ModelError, match=rf"^metadata {key}: expected .*, got .*") as error:
        from_text({**VALID, key: value})
    assert is_plain(str(error.value))
    assert len(str(error.value)) < 300


def test_missing_keys_and_other_versions_are_refused():
    with pytest.raises(ModelError, match=r"expected all keys .* got none for mean, std"):
        from_text({key: value for key, value in VALID.items() if key not in ("mean", "std")})
    with pytest.raises(ModelError, match="version 1, got none"):
        from_text({})
    with pytest.raises(ModelError, match="version 1, got version '99"):
        from_text({**VALID, "pairnet": "99\x1b"})


def test_values_are_validated_when_an_object_is_made():
    values = {field: getattr(from_text(VALID), field) for field in FileMetadata.__dataclass_fields__}
    with pytest.raises(ModelError, match="metadata std"):
        FileMetadata(**{**values, "std": 0.0})


def test_each_key_is_in_the_guide_with_its_meaning():
    guide = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    rows = [line for line in guide.splitlines() if line.startswith("| `")]
    assert [key for key, kind in keys().items() if f"| `{key}` | {kind.__metadata__[-1]} |" not in rows] == []


@given(st.one_of(st.text(), st.binary(), st.dictionaries(st.text(), st.text())))
def test_a_shown_value_is_plain_and_short(value):
    assert is_plain(shown(value))
    assert len(shown(value)) <= 80
