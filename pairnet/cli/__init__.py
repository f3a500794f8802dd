"""The commands; the only place that reads argv.  What they do is done elsewhere: here are words in and words out."""

import sys
from typing import Annotated

import typer

from pairnet import __version__
from pairnet.cli.bench import bench_report
from pairnet.cli.calibration import calibration
from pairnet.cli.common import console, run_app
from pairnet.cli.data import data_fetch, data_info, data_list, data_pictures
from pairnet.cli.export import export
from pairnet.cli.predict import predict
from pairnet.cli.reproduce import reproduce
from pairnet.cli.train import evaluate, train, variants

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version and the revision.")] = False,
) -> None:
    """Two handwritten digits: is the first equal or less than the second?

    Weight sharing and auxiliary losses, measured.
    """
    # --debug is acted on in common.run_app, where an error arrives
    if version:
        from pairnet.host import revision

        console().print(f"pairnet {__version__}, revision {revision()}")
        raise typer.Exit


def examples(*lines: str) -> str:
    """The last lines of a --help."""
    return "\n\n".join(("Examples:", *lines))


app.command(
    epilog=examples(
        "pairnet reproduce",
        "pairnet reproduce --table all --out study",
        "pairnet reproduce --table 1 --repeats 3 --data mnist",
    )
)(reproduce)
app.command(epilog=examples("pairnet train final_model", "pairnet train w_net --epochs 50 --seed 3 --data mnist"))(
    train
)
app.command(epilog=examples("pairnet evaluate runs/final_model-0123abcd"))(evaluate)
app.command(epilog=examples("pairnet variants", "pairnet variants --json"))(variants)

app.command(
    epilog=examples(
        "pairnet calibration final_model",
        "pairnet reproduce --table order",
        "pairnet calibration final_model order_net --figure calibration.svg",
    )
)(calibration)

app.command(
    epilog=examples(
        "pairnet export --model final_model",
        "pairnet export --run runs/final_model-0123abcd --precision int8 --output small.onnx",
        "pairnet export --all --split --output models",
    )
)(export)
app.command(
    epilog=examples(
        "pairnet predict final_model.onnx left.png right.png",
        "pairnet predict final_model.onnx --rank pictures/*.png",
        "pairnet predict final_model.onnx t10k-images-idx3-ubyte --rank --json",
        "pairnet predict final_model.onnx --test",
    )
)(predict)

app.command("bench-report", epilog=examples("pairnet bench-report", "pairnet bench-report --bench quality --json"))(
    bench_report
)

data = typer.Typer(help="Where the images come from: list the sources, fetch MNIST, look at one.", no_args_is_help=True)
data.command("list", epilog=examples("pairnet data list"))(data_list)
data.command("fetch", epilog=examples("pairnet data fetch mnist"))(data_fetch)
data.command("info", epilog=examples("pairnet data info", "pairnet data info idx:my-digits --json"))(data_info)
data.command(
    "pictures", epilog=examples("pairnet data pictures", "pairnet data pictures mnist --count 3 --output mine")
)(data_pictures)
app.add_typer(data, name="data")


def main() -> None:
    """Entry point of `pairnet`."""
    raise SystemExit(run_app(app, sys.argv[1:]))


def main_export() -> None:
    """Entry point of `pairnet-export`."""
    raise SystemExit(run_app(app, ["export", *sys.argv[1:]]))
