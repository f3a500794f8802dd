"""The commands of `pairnet`: their names, help and examples.

Commands turn options into calls of the packages below and print the results; each imports what it needs when it runs.
"""

from typing import Annotated

import typer

from pairnet.cli.bench import bench_report
from pairnet.cli.calibration import calibration
from pairnet.cli.comparing import compare_runs
from pairnet.cli.data import data_fetch, data_info, data_list, data_pictures
from pairnet.cli.deleting import delete_runs
from pairnet.cli.doctor import doctor
from pairnet.cli.export import export
from pairnet.cli.failures import NOT_UNDERSTOOD
from pairnet.cli.importing import import_network
from pairnet.cli.merging import merge_runs
from pairnet.cli.output import print_line, print_text
from pairnet.cli.packing import pack_runs
from pairnet.cli.predict import predict
from pairnet.cli.report import report
from pairnet.cli.repository import export_repository
from pairnet.cli.runs import list_runs
from pairnet.cli.serve import serve
from pairnet.cli.study import REPRODUCE, study
from pairnet.cli.train import evaluate, train
from pairnet.cli.variants import variants
from pairnet.cli.verify import verify
from pairnet.version import __version__

app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text: brackets stay brackets, and rich need not be imported
)


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version and the revision.")] = False,
) -> None:
    """Two handwritten digits: is the first equal to or less than the second?

    Weight sharing and auxiliary losses, measured.
    """
    # common.run_app acts on --debug when it reports an error
    if version:
        from pairnet.host import revision

        print_line(f"pairnet {__version__}, revision {revision()}")
        raise typer.Exit
    show_help(context)


def show_help(context: typer.Context) -> None:
    """Prints the help of a group of commands if the command line names none of them; status 2."""
    if context.invoked_subcommand is None:
        print_text(context.get_help())
        raise typer.Exit(NOT_UNDERSTOOD)


def examples(*lines: str) -> str:
    r"""The end of a command's help; \b keeps its lines as they are."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


app.command(
    REPRODUCE,
    short_help="Reproduce the paper's tables.",
    epilog=examples(
        "pairnet reproduce",
        "pairnet reproduce --table all --runs study",
        "pairnet reproduce --minutes 15",
        "pairnet reproduce --table 1 --draws 3 --data mnist",
        "pairnet reproduce --shard 1/4 --runs shard-1",
    ),
)(study)
app.command(
    short_help="Run a study of your own from a file.",
    epilog=examples(
        "pairnet study my.toml --dry-run",
        "pairnet study my.toml --runs mine",
        "pairnet study my.toml --engine ray --address auto",
    ),
)(study)
app.command(
    epilog=examples(
        "pairnet report",
        "pairnet report study --open --output final/report.html",
        "pairnet report study-torch-2.12 study-torch-2.13",
    )
)(report)
app.command(
    epilog=examples(
        "pairnet train final_model",
        "pairnet train w_net --epochs 50 --seed 3 --data mnist",
        "pairnet train my_net --file my.toml",
    )
)(train)
app.command(
    epilog=examples(
        "pairnet evaluate runs/final_model-0123abcd",
        "pairnet evaluate runs/final_model-0123abcd --seed 1 --seed 2",
    )
)(evaluate)
app.command(
    "import",
    epilog=examples(
        "pairnet import mine.safetensors --variant final_model --seed 3",
        'pairnet import four.safetensors --variant four_towers --file my.toml --origin "four towers averaged"',
        "pairnet import mine.safetensors --variant final_model --mean 33.3 --std 78.6",
    ),
)(import_network)
runs = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
runs.callback(
    epilog=examples("pairnet runs", "pairnet runs --runs study --long", "pairnet runs --row w_net --epochs 25 --json")
)(list_runs)
runs.command("compare", epilog=examples("pairnet runs compare w_net no_w_net --data mnist"))(compare_runs)
runs.command(
    "delete",
    epilog=examples("pairnet runs delete runs/final_model-0123abcd", "pairnet runs delete --row w_net --epochs 2"),
)(delete_runs)
runs.command(
    "merge",
    epilog=examples("pairnet runs merge shard-1 shard-2 --runs study", "pairnet runs merge shard-* --runs study"),
)(merge_runs)
runs.command("pack", epilog=examples("pairnet runs pack docs/records/3 --runs table3"))(pack_runs)
app.add_typer(runs, name="runs")
app.command(
    epilog=examples(
        "pairnet verify",
        "pairnet verify study --sample 10 --jobs 2",
        "pairnet verify study --row final_model --seed 7 --json",
    )
)(verify)
app.command(
    epilog=examples(
        "pairnet variants",
        "pairnet variants --file my.toml --json",
        "pairnet variants --draw final_model --output final_model.png",
        "pairnet variants --tensors final_model",
    )
)(variants)
app.command(
    epilog=examples(
        "pairnet calibration final_model",
        "pairnet reproduce --table order",
        "pairnet calibration final_model order_net --output calibration.svg",
    )
)(calibration)
app.command(
    context_settings={"allow_extra_args": True},  # which `export` refuses, and says what to do
    epilog=examples(
        "pairnet export --model final_model",
        "pairnet export --run runs/final_model-0123abcd --precision int8 --output small.onnx",
        "pairnet export --all --split --output models",
    ),
)(export)
app.command(
    epilog=examples(
        "pairnet predict left.png right.png",
        "pairnet predict final_model.onnx left.png right.png",
        "pairnet predict final_model.onnx --rank pictures/*.png",
        "pairnet predict final_model.onnx t10k-images-idx3-ubyte --rank --json",
        "pairnet predict final_model.onnx --test",
    )
)(predict)
app.command(
    epilog=examples(
        "pairnet serve",
        "pairnet serve final_model.onnx order_net.onnx --port 9000 --grpc-port 9001",
        "curl 127.0.0.1:8080/v2/models/order_net_xs",
    )
)(serve)
app.command(
    "export-repository",
    epilog=examples("pairnet export-repository final_model.onnx order_net.onnx --output repository"),
)(export_repository)
app.command("bench-report", epilog=examples("pairnet bench-report", "pairnet bench-report --bench quality --json"))(
    bench_report
)
app.command(epilog=examples("pairnet doctor", "pairnet doctor --json"))(doctor)

data = typer.Typer(
    help="List, download, describe and show sources of images.",
    callback=show_help,
    invoke_without_command=True,
    rich_markup_mode=None,
)
data.command("list", epilog=examples("pairnet data list"))(data_list)
data.command("fetch", epilog=examples("pairnet data fetch mnist"))(data_fetch)
data.command("info", epilog=examples("pairnet data info", "pairnet data info idx:my-digits --json"))(data_info)
data.command(
    "pictures", epilog=examples("pairnet data pictures", "pairnet data pictures mnist --count 3 --output mine")
)(data_pictures)
app.add_typer(data, name="data")
