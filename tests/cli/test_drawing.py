"""Images drawn in a terminal."""

import numpy as np
import pytest

from pairnet.cli.drawing import drawn


@pytest.mark.parametrize("colour", [False, True])
def test_an_image_is_14_lines_of_28_characters(colour):
    pixels = np.zeros((28, 28), np.uint8)
    pixels[:, 14:] = 255
    lines = drawn(pixels, colour=colour).plain.splitlines()
    assert [len(line) for line in lines] == [28] * 14
    assert lines[0] == ("▀" * 28 if colour else " " * 14 + "@" * 14)
