"""`pairnet variants --draw`: the diagram of a variant as a file."""

import pytest

MY_NET = """
[variants."my_net-1.0"]
net = "fc(392,8) fc(8,1)"
"""


def test_a_variant_is_drawn_into_the_current_folder(command_line, tmp_path):
    assert command_line("variants", "--draw", "w_net") == (0, "", "wrote w_net.svg\n")
    assert "one tower for both images" in (tmp_path / "w_net.svg").read_text()


@pytest.mark.parametrize(("name", "start"), [("net.png", b"\x89PNG"), ("net.pdf", b"%PDF"), ("net.svg", b"<?xml")])
def test_the_file_is_chosen(command_line, tmp_path, name, start):
    assert command_line("variants", "--draw", "final_model", "--output", name) == (0, "", f"wrote {name}\n")
    assert (tmp_path / name).read_bytes().startswith(start)


def test_a_variant_of_a_file_is_drawn(command_line, tmp_path):
    (tmp_path / "my.toml").write_text(MY_NET)
    status, _, err = command_line("variants", "--file", "my.toml", "--draw", "my_net-1.0")
    assert (status, err) == (0, "wrote my_net-1.0.svg\n")
    assert "3,153 parameters" in (tmp_path / "my_net-1.0.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--output", "x.svg"], "expected the name of a variant for --output x.svg, got none: add --draw NAME"),
        (["--draw", "w_net", "--json"], "expected --draw or --json, got both: a diagram is no JSON"),
        (
            ["--draw", "final-modle"],
            'expected the name of a variant, got "final-modle": did you mean final_model or final_model_bn?; '
            "for one of your own add --file",
        ),
        (["--draw", "w_net", "--output", "x.gif"], 'expected a figure that ends in .svg, .png, .pdf, got ".gif"'),
        (["--draw", "w_net", "--output", "no/x.svg"], "no/x.svg: No such file or directory"),
        (["--draw", ""], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_refused_in_one_line(command_line, tmp_path, arguments, line):
    status, out, err = command_line("variants", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("pairnet: ")
    assert err.count("\n") == 1
    assert line is None or err == f"pairnet: {line}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command", [("train", "mine"), ("variants", "--draw", "mine"), ("variants", "--tensors", "mine")], ids=str
)
def test_a_variant_with_placeholders_is_refused_with_their_names(command_line, tmp_path, command):
    (tmp_path / "own.toml").write_text('[variants.mine]\nnet = "fc(392,{channels}) fc({channels},1)"\n')
    status, out, err = command_line(*command, "--file", "own.toml")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "with {channels}: give it a number in the rows of a study, with" in err
    status, _, err = command_line("variants", "--draw", "other", "--file", "own.toml")
    assert (status, 'expected a variant without placeholders, got "other"' in err) == (2, True)
