"""The networks of a page: each can be told from the others, also where only the activation differs."""

import re
from dataclasses import replace

from record_examples import record
from reporting.studies import MNIST

from pairnet.models.variants import find_variant
from pairnet.reporting.drawings import drawings
from pairnet.reporting.figures.rendering import render
from pairnet.reporting.page import report_page
from pairnet.reporting.report import gather
from pairnet.reporting.selection import choose

MINE = replace(find_variant("fc_1"), name="mine", net="fc(392,7) fc(7,1)", parameters=None)


def test_networks_that_differ_in_activation_or_layers_only_have_names_of_their_own():
    plain = replace(MINE, activation="none")
    wide = replace(MINE, net="fc(392,8) fc(8,1)")
    variants = {"a": MINE, "b": plain, "c": wide}
    records = [record(0, label=label, variant=variant, images=MNIST) for label, variant in variants.items()]
    report = gather(choose(records))
    found = [each for each in drawings(report) if each.section == "networks"]
    svgs = {each.name: render(each.draw(), name=each.name)[0] for each in found}
    assert [each.caption for each in found] == [f"{each.structure}." for each in variants.values()]
    assert ["activation: none" in svgs[each.name] for each in found] == [False, True, False]
    page = report_page(report, found, svgs)
    groups = re.findall("<details><summary>(mine.*?)</summary>", page)
    assert groups == ["mine: fc(392,7) fc(7,1)", "mine, activation: none", "mine: fc(392,8) fc(8,1)"]
    assert "<figcaption>fc(392,7) fc(7,1) | activation: none.</figcaption>" in page
