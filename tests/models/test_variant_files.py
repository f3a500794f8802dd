"""Variants from TOML files: valid files, and one line with the key's path and a remedy for each error."""

import os
import re
from dataclasses import asdict, fields, replace

import pytest

from pairnet.errors import ArgumentError, NotationError
from pairnet.models.recipes import Recipe, Warp
from pairnet.models.variant_files import read_variants
from pairnet.models.variants import VARIANTS, Variant, count_parameters

FILE = """
title = "ignored"
draws = 3

[[rows]]
variant = "tiny"

[variants.tiny]
tower = "conv(1,4,3) P(2) fc(196,8)"
shared = false
head = "fc(16,1)"
auxiliary = "fc(8,10)"
note = "small"
parameters = 3339

[variants.tiny.recipe]
epochs = 3
learning_rate = 1
betas = [0.8, 0.9]
optimiser = "sgd"
momentum = 0.5
warp = { elastic = 0.5 }

[variants."flat-1.0"]
net = "fc(392,1)"
"""


@pytest.fixture
def write(tmp_path):
    path = tmp_path / "mine.toml"

    def written(text):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


def test_a_byte_order_mark_is_no_syntax_error(write):
    assert list(read_variants(write(b"\xef\xbb\xbf" + FILE.encode()))) == ["tiny", "flat-1.0"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"[variants.a]\nnet = 'fc(392,1)'\nparameters = {'9' * 5000}", "use a smaller number"),
        ("[variants.a]\nnet = 'fc(３９２,1)'", "fc("),
        ("#" * 1_100_000, "expected a TOML file with variants of at most 1,048,576 bytes, got 1,100,000"),
    ],
    ids=["thousands of digits", "full-width digits", "too large"],
)
def test_odd_files_are_refused(write, text, reason):
    with pytest.raises((ArgumentError, NotationError), match=re.escape(reason)):
        read_variants(write(text))


@pytest.mark.timeout(10)
def test_a_pipe_is_refused_and_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ArgumentError, match="expected a TOML file with variants, got a pipe: name a regular file"):
        read_variants(tmp_path / "pipe.toml")


def error_of(path, kind=ArgumentError):
    with pytest.raises(kind) as error:
        read_variants(path)
    message = str(error.value)
    assert "\n" not in message
    assert message.isprintable()
    assert path.name in message
    return message


def test_variants_are_read(write):
    variants = read_variants(write(FILE))
    assert list(variants) == ["tiny", "flat-1.0"]
    recipe = Recipe(epochs=3, learning_rate=1.0, betas=(0.8, 0.9), optimiser="sgd", momentum=0.5)
    recipe = replace(recipe, warp=Warp(elastic=0.5))
    assert variants["tiny"] == Variant(
        name="tiny",
        tower="conv(1,4,3) P(2) fc(196,8)",
        shared=False,
        head="fc(16,1)",
        auxiliary="fc(8,10)",
        note="small",
        parameters=3339,
        recipe=recipe,
    )
    assert variants["flat-1.0"].recipe == Recipe()
    assert variants["flat-1.0"].parameters is None
    assert count_parameters(variants["flat-1.0"]) == 393


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_each_built_in_variant_can_be_written_as_a_file(write, variant):
    def text(value):
        if isinstance(value, dict):
            return "{" + ", ".join(f"{k} = {text(v)}" for k, v in value.items() if v is not None) + "}"
        if isinstance(value, bool):
            return str(value).lower()
        return str(list(value)) if isinstance(value, tuple) else repr(value).replace("'", '"')

    lines = [
        f"{field.name} = {text(asdict(variant)[field.name])}"
        for field in fields(Variant)
        if field.name != "name" and getattr(variant, field.name) is not None
    ]
    copy = read_variants(write("[variants.copy]\n" + "\n".join(lines)))["copy"]
    assert {**asdict(copy), "name": variant.name} == asdict(variant)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("x = [\n1,\n2", ["expected a TOML file", "at end of document"]),
        ("[variants.a]\nnet = fc", ["expected a TOML file", "line 2"]),
        (b"\xff", ["no UTF-8 (byte 0)"]),
        ("title = 1", ["expected a [variants.NAME] table, got none: add one"]),
        ("variants = 3", ["got variants = 3"]),
        ("[variants]", ["expected a [variants.NAME] table, got none"]),
        ("variants.a = 3", ["variants.a: expected a table, got 3"]),
        ("[[variants.a]]\nnet = 'x'", ["variants.a: expected a table, got ["]),
        ("[variants.a]\nheads = 'fc(2,1)'", ["variants.a.heads: expected a known key: did you mean head?"]),
        ("[variants.a]\nzzzz = 1", ["variants.a.zzzz: expected a known key: remove it; the keys are parameters, net"]),
        ("[variants.a]\nname = 'b'", ["variants.a.name: expected a known key"]),
        ('[variants.a]\n"\\u001b[31m" = 1', ["expected a known key: remove it"]),
        ("[variants.a.recipe]\nepoch = 1", ["variants.a.recipe.epoch: expected a known key: did you mean epochs?"]),
        ("[variants.a.recipe.warp]\nelastc = 1", ["variants.a.recipe.warp.elastc", "did you mean elastic?"]),
        ("[variants.a]\nnet = 3", ["variants.a.net: expected a string, got 3: correct its value"]),
        ("[variants.a]\nshared = 1", ["variants.a.shared: expected true or false, got 1: "]),
        ("[variants.a]\nparameters = 1.5", ["variants.a.parameters: expected an integer, got 1.5: "]),
        ("[variants.a]\nrecipe = 1", ["variants.a.recipe: expected a table, got 1: "]),
        ("[variants.a.recipe]\nepochs = 'x'", ["variants.a.recipe.epochs: expected an integer, got 'x': "]),
        ("[variants.a.recipe]\nepochs = true", ["variants.a.recipe.epochs: expected an integer, got True: "]),
        ("[variants.a.recipe]\nepochs = 0", ["variants.a.recipe: expected epochs to be at least 1, got 0: "]),
        ("[variants.a.recipe]\nbetas = [1]", ["variants.a.recipe.betas: expected array of length 2, got [1]: "]),
        ("[variants.a.recipe]\nbetas = [0.1, 'x']", ["variants.a.recipe.betas[1]: expected a number, got 'x': "]),
        (
            "[variants.a.recipe]\noptimiser = 'rmsprop'",
            ["variants.a.recipe.optimiser: expected one of adam, adamw, sgd, got 'rmsprop': "],
        ),
        ("[variants.a.recipe]\nmomentum = '0.9'", ["variants.a.recipe.momentum: expected a number, got '0.9': "]),
        ('[variants.a]\nnet = "fc(392,1)"\nnote = "a\\nb"', ["variants.a.note: expected one line of text"]),
        ("[variants.a.recipe]\nweight_decay = nan", ["expected weight_decay to be finite and at least 0, got nan: "]),
        ("[variants.a.recipe.warp]\nshear = -1", ["variants.a.recipe.warp: expected shear to be finite", "-1"]),
        ("[variants.final_model]\nnet = 'fc(392,1)'", ["variants.final_model: expected a new name", "built-in"]),
        *(
            (f'[variants."{name}"]\nnet = "fc(392,1)"', ["variants: expected a name of up to 100 letters", "rename"])
            for name in ("", ".a", "-a", "a/b", "a b", "ü", "\\u001b[1m", "a" * 101, "a\\n")
        ),
    ],
)
def test_errors_name_the_key_and_the_remedy(write, text, parts):
    message = error_of(write(text))
    for part in parts:
        assert part in message


def test_spaces_do_not_distinguish_variants(write):
    variants = read_variants(write('[variants.a]\nnet = """\n conv(2, 8,3)\n  P(2) fc(392, 1)"""'))
    assert variants["a"].structure == "conv(2,8,3) P(2) fc(392,1)"


def test_missing_files_and_folders_are_reported(tmp_path):
    assert "expected a TOML file with variants, got no such file: check the name" in error_of(tmp_path / "none.toml")
    assert "expected a TOML file with variants, got a folder: " in error_of(tmp_path)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("net = 'fc(391,1)'", "a: fc(391,1): expected 391 inputs, got 392 (2x14x14): change its first number"),
        ("net = 'fc(392,1) Q'", "a: expected conv(i,o,k)"),
        ("net = 'fc(392,1)'\nparameters = 5", "a: expected 5 parameters as stated, got 393 in its layers"),
        ("note = 'empty'", "a: expected either a net, or a tower and a head, got none of them"),
        ("tower = 'fc(196,10) softmax'\nhead = 'fc(20,1)'", "a: expected softmax only at the end of the tower"),
    ],
)
def test_layers_that_do_not_fit_are_reported_with_variant_and_file(write, text, part):
    assert f"mine.toml: {part}" in error_of(write(f"[variants.a]\n{text}"), NotationError)


def test_a_variant_with_placeholders_says_so_when_it_is_asked_for(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        FILE + '[variants.mine]\ntower = "conv(1,{channels},3) P(2) conv({channels},{2*width},3) P(2)"\n'
        'head = "fc({18*width},1)"\n[variants.one]\nnet = "fc(392,{features}) fc({features},1)"\n'
    )
    found = read_variants(path)
    assert list(found) == ["tiny", "flat-1.0"]
    assert ("mine" in found, found.get("mine")) == (False, None)
    with pytest.raises(
        ArgumentError, match=r"mine. with \{channels\}, \{width\}: give them numbers in the rows"
    ) as wrong:
        _ = found["mine"]
    assert "\n" not in str(wrong.value)
    with pytest.raises(
        ArgumentError, match=r"one. with \{features\}: give it a number in the rows of a study, with `set`"
    ):
        _ = found["one"]
    with pytest.raises(KeyError):
        _ = found["other"]
