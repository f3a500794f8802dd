"""What both protocols check before a request waits."""

from itertools import pairwise

import pytest

from pairnet.errors import RequestError
from pairnet.serving.server.protocol import timeout_ns
from pairnet.serving.server.statistics import LATENCIES


@pytest.mark.parametrize("given", [7, "7"])
def test_a_timeout_is_in_microseconds_as_a_number_or_its_digits(given):
    assert timeout_ns({"timeout": given}) == 7_000  # ns


def test_without_a_timeout_a_request_waits():
    assert timeout_ns({}) == 0


@pytest.mark.parametrize("given", [-1, True, 1.5, None, "-1", "1.5", "", "9" * 19, [1]])
def test_another_timeout_is_refused(given):
    with pytest.raises(RequestError, match="whole microseconds"):
        timeout_ns({"timeout": given})


def test_a_bucket_of_the_latencies_is_at_most_two_and_a_half_times_the_one_before():
    assert all(1 < later / earlier <= 2.5 for earlier, later in pairwise(LATENCIES))
