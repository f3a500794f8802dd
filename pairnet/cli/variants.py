"""`pairnet variants`: the table of variants and their diagrams; and the choice of one by its name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pairnet.cli.common import Json, VariantFile, write_figure
from pairnet.cli.output import console, plain_table, print_json, print_line, printable, unbroken
from pairnet.errors import ArgumentError
from pairnet.extras import needed_by

if TYPE_CHECKING:
    from pairnet.models.variants import Variant


def choose_variant(name: str, file: Path | None) -> "Variant":
    """The variant called `name`: of `file` if one is given, otherwise of the built-in table."""
    from pairnet.models.variants import find_variant

    if file is None:
        try:
            return find_variant(name)
        except ArgumentError as error:
            raise ArgumentError(f"{error}; for one of your own add `file`") from None
    from pairnet.models.variant_files import read_variants

    found = read_variants(file)
    try:
        return found[name]  # an ArgumentError for one with placeholders
    except KeyError:
        known = f"one of its variants ({', '.join(found)})" if found else "a variant without placeholders"
        raise ArgumentError(f'`file` {file}: expected {known}, got "{name}"') from None


NAMES = """Names: fc: fully connected. conv, cnn: convolutional. w: both images share their weights; no_w: each has its
own. a: auxiliary loss, which teaches the network the digits too. bn: batch normalisation. order: the answer is computed
from the probabilities of the digits, without parameters."""
FITS = 130
"""Columns of a terminal that has room for structures next to the figures."""


def variants(
    file: VariantFile = None,
    long: Annotated[bool, typer.Option("--long", help="Show structures in a narrow terminal too.")] = False,
    draw: Annotated[str | None, typer.Option(metavar="NAME", help="Draw this variant, and list none.")] = None,
    tensors: Annotated[
        str | None, typer.Option(metavar="NAME", help="List the tensors of this variant: name, type and shape.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Diagram to write, .svg, .png or .pdf.", show_default="NAME.svg")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing diagram.")] = False,
    as_json: Json = False,
) -> None:
    """List the variants, their sizes and their structures, or draw one of them, or list its tensors.

    Columns: number of parameters, the paper's number of parameters, multiply-adds for one pair, whether both images
    share their weights, whether there is an auxiliary loss, structure in the paper's notation (with its activation, if
    that is not ReLU).
    """
    if tensors is not None:
        if draw is not None or output is not None:
            raise ArgumentError("expected one of `tensors` and `draw`, got both: use two commands")
        _list_tensors(choose_variant(tensors, file), as_json=as_json)
        return
    if draw is not None:
        if as_json:
            raise ArgumentError("expected `draw` or `as_json`, got both: a diagram is no JSON")
        variant = choose_variant(draw, file)
        with needed_by("drawing a network"):
            from pairnet.reporting.figures.architecture import architecture
        write_figure(architecture(variant), output or Path(f"{variant.name}.svg"), force=force)
        return
    if output is not None:
        raise ArgumentError(f"expected the name of a variant for `output` {output}, got none: add `draw` NAME")
    from pairnet.models import paper
    from pairnet.models.variants import VARIANTS, check, count_multiply_adds, count_parameters

    listed = list(VARIANTS)
    if file is not None:
        from pairnet.models.variant_files import read_variants

        listed += read_variants(file).values()
    for variant in listed:
        check(variant)
    rows = [
        {
            "name": variant.name,
            "structure": variant.structure,
            "activation": variant.activation,
            "parameters": count_parameters(variant),
            "paper_parameters": paper.PARAMETERS.get(variant.name),
            "multiply_adds": count_multiply_adds(variant),
            "shares_weights": variant.shared and not variant.net,
            "auxiliary_loss": variant.classifies_digits,
        }
        for variant in listed
    ]
    if as_json:
        print_json(rows)
        return
    terminal = console()
    wide = terminal.width >= FITS
    caption = " ".join(NAMES.split()) + ("" if wide or long else " --long shows structures.")
    numbers, marks = unbroken("parameters", "paper", "multiply-adds"), unbroken("shared", "auxiliary", justify="left")
    structure = ["structure"] if wide else []
    table = plain_table("variant", *numbers, *marks, *structure, title="Variants", caption=caption)
    for row in rows:
        counts = (row["parameters"], row["paper_parameters"], row["multiply_adds"])
        yes = ("yes" if row[key] else "" for key in ("shares_weights", "auxiliary_loss"))
        notation = [printable(row["structure"])] if wide else []
        table.add_row(printable(row["name"]), *("" if n is None else f"{n:,}" for n in counts), *yes, *notation)
    terminal.print(table)
    if long and not wide:
        for row in rows:
            terminal.print(printable(f"{row['name']}: {row['structure']}"))


def _list_tensors(variant: "Variant", *, as_json: bool) -> None:
    """Prints the tensors of a variant's network, which `pairnet import` reads."""
    with needed_by("listing tensors"):
        from pairnet.models.networks import build
    rows = [
        {"name": name, "type": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
        for name, tensor in build(variant, seed=0).state_dict().items()
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print_line(f"{row['name']} {row['type']} {row['shape']}")
