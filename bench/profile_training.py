"""Where the time of an epoch goes: torch's profiler over one epoch of one variant, on one thread.

python -m bench.profile_training [VARIANT] [--rows 20] [--data auto]
"""

import argparse
import sys

import numpy as np
import torch
from torch.profiler import profile

from pairnet.data.pairs import draw_pairs
from pairnet.data.sources import load_dataset
from pairnet.host import hardware
from pairnet.models.variants import find_variant
from pairnet.training.loop import train_network


def main() -> None:
    """Trains two epochs, the first without the profiler, and prints the operations of the second by time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", nargs="?", default="final_model")
    parser.add_argument("--rows", type=int, default=20, help="operations shown (default 20)")
    parser.add_argument("--data", default="auto", help="as for pairnet")
    options = parser.parse_args()
    dataset, variant = load_dataset(options.data), find_variant(options.variant)
    pairs = draw_pairs(dataset.train, count=1000, seed=0)
    few = pairs.subset(np.arange(25))
    profiler = profile()

    def on_epoch(number: int, _: object) -> None:
        if number == 1:
            profiler.start()
        elif number == 2:
            profiler.stop()

    train_network(
        variant, pairs, few, recipe=variant.recipe, weight_seed=0, order_seed=0, measurements=1, on_epoch=on_epoch
    )
    table = profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=options.rows)
    sys.stdout.write(f"{variant.name}, one epoch; {hardware()}; torch {torch.__version__}\n{table}\n")


if __name__ == "__main__":
    main()
