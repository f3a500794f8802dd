"""How figures become files: an SVG and a PNG from one pass over the figure.

What matplotlib works out for each format by itself, such as ticks and the sizes of texts, takes longer than to write
either of them.
"""

import io
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Affine2D
from PIL import Image

from pairnet.errors import ArgumentError
from pairnet.reporting.figures.drawing import style

FORMATS = (".svg", ".png", ".pdf")

POINTS = 72
"""Units of an SVG for each inch."""

DOTS = 140
"""Pixels of a PNG file for each inch."""

COMPRESSION = 3
"""Level of zlib for PNG files: half the time of the usual 6 for files that are a tenth larger."""


def save(figure: Figure, path: Path) -> None:
    """Writes an SVG, PNG or PDF, by its name.  ArgumentError for another ending."""
    if path.suffix not in FORMATS:
        raise ArgumentError(f'expected a figure that ends in {", ".join(FORMATS)}, got "{path.suffix}"')
    if path.suffix == ".pdf":
        with style():
            figure.savefig(path)
        return
    svg, png = render(figure, name=path.stem)
    path.write_bytes(png if path.suffix == ".png" else svg.encode())


def render(figure: Figure, *, name: str) -> tuple[str, bytes]:
    """The text of an SVG file and the content of a PNG file, the same for the same figure and name."""
    text, file = io.StringIO(), io.BytesIO()
    with style(salt=name):
        figure.set_dpi(POINTS)
        both = _Both(*figure.bbox.size, text)
        figure.draw(both)
        both.svg.finalize()
    pixels = Image.fromarray(np.asarray(both.agg.buffer_rgba())).convert("RGB")
    pixels.save(file, format="PNG", dpi=(DOTS, DOTS), compress_level=COMPRESSION)
    return text.getvalue(), file.getvalue()


@lru_cache(maxsize=10_000)
def size_of(text: str, font: FontProperties, mathematics: Any = False) -> tuple[float, float, float]:
    """Width, height and descent of a line of text in points; figures of one report have most of their texts in common.

    The font is matplotlib's own, which is wider than those of most pages.
    """
    width, height, descent = text_to_path.get_text_width_height_descent(text, font, mathematics)
    return float(width), float(height), float(descent)


class _Both(RendererBase):
    """Draws on an SVG, whose units are points, and the same larger on pixels. No images, and no paths to clip at."""

    def __init__(self, width: float, height: float, file: io.StringIO) -> None:
        super().__init__()
        scale = DOTS / POINTS
        self.svg = RendererSVG(width, height, file, image_dpi=DOTS, metadata={"Date": None})
        self.agg = RendererAgg(round(width * scale), round(height * scale), DOTS)
        self.scale = Affine2D().scale(scale)

    def open_group(self, s: str, gid: str | None = None) -> None:
        self.svg.open_group(s, gid)

    def close_group(self, s: str) -> None:
        self.svg.close_group(s)

    def get_canvas_width_height(self) -> tuple[float, float]:
        return self.svg.width, self.svg.height

    def get_text_width_height_descent(self, s: str, prop: FontProperties, ismath: Any) -> tuple[float, float, float]:
        return size_of(s, prop, ismath)

    def draw_path(self, gc: Any, path: Any, transform: Any, rgbFace: Any = None) -> None:
        self.svg.draw_path(gc, path, transform, rgbFace)
        self.agg.draw_path(self._larger(gc), path, transform + self.scale, rgbFace)

    def draw_markers(
        self, gc: Any, marker_path: Any, marker_trans: Any, path: Any, trans: Any, rgbFace: Any = None
    ) -> None:
        self.svg.draw_markers(gc, marker_path, marker_trans, path, trans, rgbFace)
        larger, at = marker_trans + self.scale, trans + self.scale
        self.agg.draw_markers(self._larger(gc), marker_path, larger, path, at, rgbFace)

    def draw_text(
        self, gc: Any, x: float, y: float, s: str, prop: Any, angle: float, ismath: Any = False, mtext: Any = None
    ) -> None:
        self.svg.draw_text(gc, x, y, s, prop, angle, ismath, mtext)
        x, y = self.scale.transform((x, y))
        self.agg.draw_text(self._larger(gc), x, y, s, prop, angle, ismath, mtext)

    def _larger(self, gc: GraphicsContextBase) -> GraphicsContextBase:
        """`gc` for the pixels; the renderers scale lines by themselves."""
        rectangle: Any = gc.get_clip_rectangle()
        if rectangle is None:
            return gc
        larger = self.new_gc()
        larger.copy_properties(gc)
        larger.set_clip_rectangle(rectangle.transformed(self.scale))
        return larger
