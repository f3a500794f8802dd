"""Types of the C++ core (csrc/bindings.cpp). Pixels are grey levels; a pooled pixel is the sum of its 2x2 block.

Arrays must be C-contiguous and of the type given here: nothing is converted. What does not fit, and every number out of
bounds, raises ValueError that says what was expected and what came. `simd` is "auto" or one of simd_levels(),
`threads` a number of threads, at least 1; neither changes a bit of the result.
"""

from typing import final

import numpy as np
from numpy.typing import NDArray

revision: str
"""The git revision that the extension was built from, or "unknown"."""

def draw(size: int, pairs: int, seed: int) -> NDArray[np.int64]:
    """The first 2*pairs entries of a random permutation of range(size), two by two -> [pairs, 2].

    A function of (size, pairs, seed) alone. Time and memory grow with pairs, not with size.
    ValueError when 2*pairs > size or size >= 2**32.
    """

def pool_pairs(images: NDArray[np.uint8], indices: NDArray[np.int64], threads: int = 1) -> NDArray[np.uint16]:
    """Sums 2x2 blocks of images [N,28,28], or takes [N,14,14] times four, at indices [n,2] -> [n,2,14,14] in 0..1020.

    ValueError for an index that is not in 0..N-1.
    """

def targets(digits: NDArray[np.uint8]) -> NDArray[np.float32]:
    """1 where the first digit is equal or less than the second, else 0.  digits [n,2] -> [n]."""

def moments(pixels: NDArray[np.uint16], threads: int = 1) -> tuple[float, float]:
    """Mean and (unbiased) standard deviation of pooled pixels of any shape, in grey levels 0..255.

    From exact integer sums, so the same for any number of threads. ValueError for fewer than two pixels.
    """

def normalise(
    pixels: NDArray[np.uint16], mean: float, std: float, threads: int = 1, simd: str = "auto"
) -> NDArray[np.float32]:
    """(pixel/4 - mean) / std, the same shape.  The kernel that the loader uses. ValueError unless std is positive."""

def glyphs(indices: NDArray[np.int64], seed: int, threads: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Procedural digits number indices[k] of the endless stream `seed` -> images [n,28,28], labels [n] in 0..9.

    Image and label are functions of (seed, index) alone. ValueError for a negative index.
    """

def warps(
    indices: NDArray[np.int64], range: tuple[float, float, float, float, float], seed: int, epoch: int
) -> NDArray[np.float32]:
    """The warps that a Loader(seed=seed, warp=range) applies to pairs `indices` [n] in `epoch` -> [n,2,37].

    range is (rotation degrees, scale, shear, shift pixels), each a largest magnitude, and elastic, a standard deviation
    in pixels; the result is (rotation degrees, factor, shear, dx pixels, dy pixels, 4x4 displacements in x, 4x4 in y)
    for both images of each pair.
    """

def warp(images: NDArray[np.uint16], parameters: NDArray[np.float32], simd: str = "auto") -> NDArray[np.float32]:
    """Warps pooled images [m,14,14], each by its row of parameters [m,37] -> grey levels 0..255 [m,14,14].

    With (rotation, factor, shear, dx, dy), c the centre (6.5, 6.5) and y down, a point p = (x, y) moves to
    q = c + factor * R(rotation) * [1 shear; 0 1] * (p - c) + (dx, dy). To the place that an output pixel is so read
    from comes a displacement: bicubic between the 4x4 given, whose corners are the corners of the image, as
    torch.nn.functional.interpolate(mode="bicubic", align_corners=True) has it. Bilinear; 0 outside of the image.
    """

def simd_levels() -> list[str]:
    """Instruction sets that this CPU can run, best first, e.g. ["avx512", "avx2", "baseline"]."""

@final
class Loader:
    """Threads that turn pooled pairs into normalised, shuffled, perhaps warped batches, delivered in order.

    Pair i of epoch e depends on (seed, e, i) alone, whatever `threads`, `prefetch` and `simd` are. The thread that
    calls next() is one of `threads`: it makes a batch itself rather than wait for one.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint16],
        digits: NDArray[np.uint8],
        *,
        mean: float,
        std: float,
        batch: int,
        seed: int,
        shuffle: bool = True,
        drop_last: bool = False,
        threads: int = 1,
        prefetch: int = 4,
        warp: tuple[float, float, float, float, float] | None = None,
        simd: str = "auto",
    ) -> None:
        """Reads pixels [n,2,14,14] and digits [n,2] where they lie, so they must not change while it lives.

        prefetch is how many batches are made ahead, into the next epoch but no further; warp is (rotation degrees,
        scale, shear, shift pixels, elastic pixels), as for warps().
        """

    def start(self, epoch: int, first_batch: int = 0) -> None:
        """Begins to prepare the batches of `epoch` from `first_batch` on.

        What is made ahead stays where this goes on after the end of an epoch with the next, and is dropped where not.
        ValueError when first_batch > len(self) or epoch >= 2**28; RuntimeError after close().
        """

    def next(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]] | None:
        """The next batch: pair [B,2,14,14], target [B], digits [B,2]; None when the epoch has ended.

        The arrays share one block of memory that lives until the last of them is gone. Releases the GIL while it works
        or waits, and heeds Ctrl-C. Raises what a worker raised that made this batch; RuntimeError after close().
        """

    def close(self) -> None:
        """Stops and joins the workers; also done when the loader is dropped."""

    def __len__(self) -> int:
        """Batches in an epoch."""
