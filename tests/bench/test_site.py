"""The pages of `asv publish`: a browser draws their graphs, with a line for each of the main variants."""

import functools
import http.server
import importlib.util
import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from asv_results import write_file
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from bench.common import FIRST  # noqa: E402

SCRIPTS = ROOT / "build" / "site" / "node_modules"
LOCAL = {
    "jquery-3.3.1.min.js": "jquery/dist/jquery.min.js",
    "jquery.flot.min.js": "flot/jquery.flot.js",
    "jquery.flot.time.min.js": "flot/jquery.flot.time.js",
    "jquery.flot.selection.min.js": "flot/jquery.flot.selection.js",
    "jquery.flot.categories.min.js": "flot/jquery.flot.categories.js",
    "jquery.flot.orderBars.js": "flot-orderbars/js/jquery.flot.orderBars.js",
    "stupidtable.min.js": "stupid-table-plugin/stupidtable.min.js",
    "md5.min.js": "blueimp-md5/js/md5.min.js",
    "bootstrap.min.js": "bootstrap/dist/js/bootstrap.min.js",
    "bootstrap.min.css": "bootstrap/dist/css/bootstrap.min.css",
}
"""The scripts that asv's pages load from the network, by name, and where `make test-site` installs them."""

COMMITS = 3

pytestmark = pytest.mark.skipif(importlib.util.find_spec("asv") is None, reason="asv is not installed")


def run(*command, cwd):
    found = subprocess.run(
        [*map(str, command)], cwd=cwd, env={**os.environ, "HOME": str(cwd)}, capture_output=True, text=True, timeout=600
    )  # asv stores its machines in HOME
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages for a history of three commits with figures for every row of the suite except those of a GPU."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "bench", folder / "bench", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "asv.conf.json", folder)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    asv = [sys.executable, "-m", "asv"]
    results = folder / ".asv" / "results"
    run(*git, "init", "--quiet", folder, cwd=folder)
    run(*git, "add", ".", cwd=folder)
    discover = ["--bench", "just-discover", "--machine", "m", "--environment", f"existing:{sys.executable}"]
    for number in range(1, COMMITS + 1):
        run(*git, "commit", "--quiet", "--allow-empty", "--message", f"commit {number}", cwd=folder)
        if number == 1:
            run(*asv, "machine", "--yes", "--machine", "m", cwd=folder)
            run(*asv, "run", *discover, cwd=folder)
            suite = json.loads((results / "benchmarks.json").read_text())
        head = run("git", "rev-parse", "HEAD", cwd=folder).strip()
        write_file(results, head, 1000 * number, {n: synthetic(a, number) for n, a in suite.items() if n != "version"})
    run(*asv, "publish", cwd=folder)
    return folder / ".asv" / "html"


def synthetic(about, number):
    """Values that increase from row to row and from commit to commit; NaN, asv's "skipped", for GPUs."""
    rows = math.prod(map(len, about["params"]))
    gpu = about["name"].startswith("gpu.")
    return [[math.nan if gpu else 1 + row + number / 2 for row in range(rows)], about["params"], about["version"]]


def test_the_first_eight_values_are_the_main_variants(site):
    """asv draws eight lines: the first values of the first parameter, with the first value of each other one."""
    about = json.loads((site / "index.json").read_text())["benchmarks"]
    assert len(FIRST) == 8
    for name, one in about.items():
        if one["param_names"][0] == "variant":
            known = [value.strip("'") for value in one["params"][0] if value != "'null'"]
            assert name.startswith("quality.ChartedAbovePaper") or known[:8] == FIRST
        assert one["pretty_name"], f"{name} would be called {name.rsplit('.', 1)[1]}"


def test_graphs_hold_each_row(site):
    (path,) = (path for path in site.glob("graphs/**/inference.Answer.time_answer.json") if "summary" not in path.parts)
    points = json.loads(path.read_text())
    about = json.loads((site / "index.json").read_text())["benchmarks"]["inference.Answer.time_answer"]
    assert about["param_names"] == ["variant", "precision", "batch"]
    assert len(points) == COMMITS
    assert [len(values) for _, values in points] == [len(list(itertools.product(*about["params"])))] * COMMITS


def test_every_script_that_the_pages_load_is_known(site):
    assert set(re.findall(r'(?:src|href)="https://[^"]*/([^"/]+)"', (site / "index.html").read_text())) == set(LOCAL)


# In a browser


class Pages(http.server.SimpleHTTPRequestHandler):
    """Serves the site with the scripts of SCRIPTS instead of those on the network."""

    def do_GET(self):
        path = self.path.split("?")[0]
        if path.startswith("/local/"):
            self.answer((SCRIPTS / LOCAL[path.removeprefix("/local/")]).read_bytes(), path)
        elif path == "/index.html":
            text = re.sub(
                r'(src|href)="https://[^"]*/([^"/]+)" integrity="[^"]*"', r'\1="/local/\2"', self.page(path).read_text()
            )
            self.answer(text.encode(), path)
        else:
            super().do_GET()

    def page(self, path):
        return Path(self.directory) / path.lstrip("/")

    def answer(self, content, path):
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextmanager
def served(site):
    """Serves the site; the address of its first page."""
    handler = functools.partial(Pages, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


def browse(address, *wanted, profile, size="1280,720"):
    """Output of the browser for a page after ten seconds of virtual time."""
    return run(
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--disable-dev-shm-usage", f"--user-data-dir={profile}", "--virtual-time-budget=10000",
        f"--window-size={size}", "--hide-scrollbars", *wanted, address, cwd=profile,
    )  # fmt: skip


needs_browser = [
    pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed"),
    pytest.mark.skipif(not SCRIPTS.is_dir(), reason="`make test-site` installs the scripts that asv's pages load"),
]


def browser_test(test):
    for mark in needs_browser:
        test = mark(test)
    return test


@browser_test
@pytest.mark.parametrize(
    ("page", "lines"),
    [
        ("quality.Error.track_error", FIRST),
        ("inference.Answer.time_answer", ["null", *FIRST[:7]]),
        ("inference.Answer.time_answer?x-axis=batch", ["null", *FIRST[:7]]),
        ("training.Epoch.time_epoch", FIRST),
        ("data_path.Loader.time_epoch", ["plain", "warped"]),
    ],
)
def test_a_browser_draws_a_line_for_each_variant(site, tmp_path, page, lines):
    picture = tmp_path / "page.png"
    with served(site) as address:
        dom = browse(f"{address}#{page}", "--dump-dom", profile=tmp_path)
        browse(f"{address}#{page}", f"--screenshot={picture}", profile=tmp_path)
    legend = re.findall(r'class="legendLabel">(.*?)</td>', dom)
    assert len(legend) >= len(lines), dom[-2000:]
    for name in lines:
        assert any(re.search(rf"\b{name}\b", label) for label in legend), f"{name} is not in the legend {legend}"
    with Image.open(picture) as image:
        graph = image.convert("RGB").crop((300, 120, 1180, 520))
    colours = sum(count for count, colour in graph.getcolors(1 << 24) if max(colour) - min(colour) > 60)
    assert colours > 500, "the graph has axes but no lines"


@browser_test
def test_a_browser_draws_the_grid_of_all_benchmarks(site, tmp_path):
    with served(site) as address:
        dom = browse(address, "--dump-dom", profile=tmp_path, size="1280,4000")
    about = json.loads((site / "index.json").read_text())["benchmarks"]
    assert dom.count('class="flot-base"') >= len(about) - 2  # gpu.* has no figures
    assert all(one["pretty_name"].replace("'", "&#39;") in dom or one["pretty_name"] in dom for one in about.values())
