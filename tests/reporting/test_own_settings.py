"""Figures do not depend on the settings of matplotlib that a user, a notebook or a folder has."""

import hashlib
import os
import subprocess
import sys

import matplotlib
import pytest
from matplotlib import style as styles
from reporting.test_report import MANY, made

from pairnet.models.variants import find_variant
from pairnet.reporting.drawings import drawings
from pairnet.reporting.figures.architecture import architecture
from pairnet.reporting.figures.rendering import render, save

HOSTILE = {
    "text.usetex": True,  # needs LaTeX
    "axes.formatter.use_mathtext": True,
    "axes.formatter.use_locale": True,
    "axes.grid": False,
    "axes.titlelocation": "right",
    "figure.autolayout": True,
    "figure.dpi": 31,
    "font.family": "cursive",
    "font.size": 31,
    "mathtext.fontset": "stix",
    "path.sketch": (1, 100, 2),
    "savefig.bbox": "tight",
    "savefig.format": "pdf",
    "savefig.transparent": True,
    "svg.fonttype": "path",
    "text.parse_math": False,
    "timezone": "Asia/Tokyo",
}

DIGEST = """
import hashlib
from pairnet import find_variant
from pairnet.reporting.figures.architecture import architecture
from pairnet.reporting.figures.rendering import render
svg, png = render(architecture(find_variant("w_net")), name="x")
print(hashlib.sha256(svg.encode() + png).hexdigest())
"""


def rendered(chosen):
    return {each.name: render(each.draw(), name=each.name) for each in chosen}


def test_the_figures_of_a_report_are_the_same_with_other_settings():
    one_of_each = {each.section: each for each in drawings(made(MANY))}.values()
    assert len(one_of_each) > 3
    usual = rendered(one_of_each)
    with matplotlib.rc_context(styles.library["dark_background"] | HOSTILE):
        assert rendered(one_of_each) == usual


def test_a_pdf_needs_no_latex(tmp_path):
    with matplotlib.rc_context(HOSTILE):
        save(architecture(find_variant("w_net")), tmp_path / "net.pdf")
    assert (tmp_path / "net.pdf").read_bytes().startswith(b"%PDF")


@pytest.fixture(scope="module")
def usual_digest():
    svg, png = render(architecture(find_variant("w_net")), name="x")
    return hashlib.sha256(svg.encode() + png).hexdigest()


@pytest.mark.parametrize(
    ("settings", "content"),
    [
        ({"MPLBACKEND": "module://matplotlib_inline.not_installed"}, None),
        ({"MPLBACKEND": "qtagg"}, None),
        ({}, b"text.usetex: True\nfigure.dpi: 31\n"),
        ({}, b"\xff\xfe no text"),
        ({}, b"no setting\nbackend: nothing\naxes.titlelocation: 7\n"),
        ({"MATPLOTLIBRC": "/dev/null/no-such-folder", "MPLBACKEND": "?"}, b"\xff"),
    ],
    ids=["notebook", "window", "usetex", "no text", "wrong", "all"],
)
def test_settings_that_matplotlib_refuses_do_not_matter(tmp_path, usual_digest, settings, content):
    if content is not None:
        (tmp_path / "matplotlibrc").write_bytes(content)  # the first place in which matplotlib looks
    after = f"import os\nassert os.getcwd() == {str(tmp_path)!r}, os.getcwd()\n"
    after += "".join(f"assert os.environ[{name!r}] == {value!r}\n" for name, value in settings.items())
    command = [sys.executable, "-c", DIGEST + after]
    done = subprocess.run(command, env={**os.environ, **settings}, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, usual_digest), done.stderr
