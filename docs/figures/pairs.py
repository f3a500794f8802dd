"""Draws docs/figures/pairs.png, pairs with their targets: python docs/figures/pairs.py"""

from pathlib import Path

from matplotlib.figure import Figure

from pairnet import draw_pairs, load_dataset

COUNT = 6


def main() -> None:
    """Writes the picture next to this file."""
    pairs = draw_pairs(load_dataset("mnist5k").train, count=COUNT, seed=5)
    figure = Figure(figsize=(9, 1))
    for number, (pixels, digits, target) in enumerate(zip(pairs.pixels, pairs.digits, pairs.targets, strict=True)):
        for side, image in enumerate(pixels):
            axes = figure.add_axes(((number + 0.03 + 0.46 * side) / COUNT, 0, 0.45 / COUNT, 0.68))
            axes.imshow(image, cmap="gray", vmin=0, vmax=1020)
            axes.set_axis_off()
        answer = "yes" if target else "no"
        figure.text((number + 0.49) / COUNT, 0.8, f"{digits[0]} ≤ {digits[1]}: {answer}", ha="center", fontsize=11)
    figure.savefig(Path(__file__).with_name("pairs.png"), dpi=110)


if __name__ == "__main__":
    main()
