"""What load generators print, and what is made of it.

The samples are from recorded runs: those of wrk as they were, those of h2load with one
common head and without lines that are not read.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from benchmarks.load import (
    H2Load,
    Load,
    LoadError,
    combined,
    parse_h2load,
    parse_h2load_log,
    parse_wrk,
    percentiles,
    post_script,
)

from benchmarks import generator

WRK = """\
Running 1s test @ http://127.0.0.1:37211/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     5.32ms  667.28us  33.46ms   97.38%
    Req/Sec    12.05k   220.25    12.22k    80.00%
  Latency Distribution
     50%    5.28ms
     75%    5.39ms
     90%    5.51ms
     99%    6.13ms
  12015 requests in 1.00s, 1.51MB read
Requests/sec:  11989.46
Transfer/sec:      1.51MB
"""

WRK_404 = """\
Running 1s test @ http://127.0.0.1:51533/nope
  1 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    18.00ms   29.97ms 146.38ms   84.77%
    Req/Sec     2.04k     1.75k    5.59k    80.00%
  Latency Distribution
     50%    2.48ms
     75%   20.28ms
     90%   64.52ms
     99%  130.42ms
  2061 requests in 1.03s, 269.70KB read
  Non-2xx or 3xx responses: 2061
Requests/sec:   2009.34
Transfer/sec:    262.94KB
"""

WRK_SERVER_KILLED = """\
Running 1s test @ http://127.0.0.1:51533/
  1 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     8.53ms   18.98ms 106.78ms   89.88%
    Req/Sec     2.01k     1.65k    4.85k    80.00%
  Latency Distribution
     50%    0.87ms
     75%    4.53ms
     90%   29.37ms
     99%   99.04ms
  1085 requests in 1.05s, 139.86KB read
  Socket errors: connect 0, read 8, write 75994, timeout 0
Requests/sec:   1038.11
Transfer/sec:    133.82KB
"""

WRK_NO_ANSWER = """\
Running 3s test @ http://127.0.0.1:54109/stuck
  1 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.00us    0.00us   0.00us    -nan%
    Req/Sec     0.00      0.00     0.00      -nan%
  Latency Distribution
     50%    0.00us
     75%    0.00us
     90%    0.00us
     99%    0.00us
  0 requests in 3.01s, 0.00B read
Requests/sec:      0.00
Transfer/sec:       0.00B
"""

H2LOAD_HEAD = """\
starting benchmark...
spawning thread #0: 8 total client(s). 12000 total requests
TLS Protocol: TLSv1.3
Cipher: TLS_AES_128_GCM_SHA256
Server Temp Key: X25519 253 bits
Application protocol: h2
progress: 100% done

"""

H2LOAD = (
    H2LOAD_HEAD
    + """\
finished in 2.88s, 4168.86 req/s, 183.61KB/s
requests: 12000 total, 12000 started, 12000 done, 12000 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 12000 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 528.52KB (541200) total, 59.30KB (60720) headers (space savings 94.89%), 152.34KB data
                     min         max         mean         sd        +/- sd
time for request:    19.69ms       1.26s     43.63ms    105.91ms    98.23%
time for connect:     5.64ms      7.90ms      6.79ms       788us    50.00%
time to 1st byte:    34.71ms     40.88ms     39.34ms      2.84ms    75.00%
req/s           :     521.18     1207.32      859.19      361.24   100.00%
"""
)

H2LOAD_SERVER_KILLED = (
    H2LOAD_HEAD
    + """\
finished in 392.07ms, 64628.11 req/s, 2.47MB/s
requests: 100000 total, 25595 started, 25339 done, 25339 succeeded, 74661 failed, 74661 errored, \
0 timeout
status codes: 25339 2xx, 0 3xx, 0 4xx, 0 5xx
"""
)

H2LOAD_SERVER_FROZEN = (
    H2LOAD_HEAD
    + """\
finished in 3.40s, 475.32 req/s, 21.14KB/s
requests: 100000 total, 1873 started, 1617 done, 1617 succeeded, 98383 failed, 98383 errored, \
256 timeout
status codes: 1621 2xx, 0 3xx, 0 4xx, 0 5xx
"""
)

H2LOAD_404 = (
    H2LOAD_HEAD
    + """\
finished in 1.00s, 15191.00 req/s, 519.45KB/s
requests: 15191 total, 15199 started, 15191 done, 0 succeeded, 15191 failed, 0 errored, 0 timeout
status codes: 0 2xx, 0 3xx, 15191 4xx, 0 5xx
"""
)

H2LOAD_NO_SERVER = """\
starting benchmark...
spawning thread #0: 8 total client(s). 1000 total requests

finished in 294us, 0.00 req/s, 0B/s
requests: 1000 total, 0 started, 0 done, 0 succeeded, 1000 failed, 1000 errored, 0 timeout
status codes: 0 2xx, 0 3xx, 0 4xx, 0 5xx
"""


def test_wrk_rate_and_latencies() -> None:
    found = parse_wrk(WRK)
    assert found.requests_per_second == 11989.46
    assert found.requests == 12015
    assert found.latency_median == pytest.approx(0.00528)
    assert found.latency_99 == pytest.approx(0.00613)
    assert found.problem is None


@pytest.mark.parametrize(
    ("output", "failed", "words"),
    [
        (WRK_404, 2061, "2061 responses outside 2xx and 3xx"),
        (WRK_SERVER_KILLED, 8 + 75994, "8 read errors, 75994 write errors"),
        (WRK_NO_ANSWER, 0, "no request was answered"),
    ],
)
def test_wrk_failures_are_problems(output: str, failed: int, words: str) -> None:
    found = parse_wrk(output)
    assert found.failed == failed
    assert found.problem is not None
    assert words in found.problem


def test_h2load_rate() -> None:
    found = parse_h2load(H2LOAD)
    assert found.requests_per_second == 4168.86
    assert found.requests == 12000
    assert found.failed == 0
    assert found.problem is None


@pytest.mark.parametrize(
    ("output", "failed", "words"),
    [
        (H2LOAD_404, 15191, "15191 responses outside 2xx"),
        (H2LOAD_SERVER_KILLED, 74661, "74661 errored"),
        (H2LOAD_SERVER_FROZEN, 98383, "256 timed out"),
        (H2LOAD_NO_SERVER, 1000, "1000 errored"),
        (H2LOAD.replace("12000 2xx, 0 3xx", "11000 2xx, 1000 3xx"), 1000, "outside 2xx"),
        (H2LOAD.replace("0 failed", "1 failed"), 1, "1 failed"),
        (H2LOAD.replace("0 errored", "1 errored"), 1, "1 errored"),
        (H2LOAD.replace("0 timeout", "1 timeout"), 1, "1 timed out"),
    ],
)
def test_h2load_failures_are_problems(output: str, failed: int, words: str) -> None:
    found = parse_h2load(output)
    assert found.failed == failed
    assert found.problem is not None
    assert words in found.problem


def test_h2load_that_spoke_http1_is_an_error() -> None:
    with pytest.raises(LoadError, match=r"http/1\.1"):
        parse_h2load(H2LOAD.replace("protocol: h2", "protocol: http/1.1"))


@pytest.mark.parametrize("output", ["", "Usage: wrk <options> <url>", H2LOAD])
def test_wrk_unknown_output_is_an_error(output: str) -> None:
    with pytest.raises(LoadError):
        parse_wrk(output)


@pytest.mark.parametrize("output", ["", "Usage: h2load", WRK])
def test_h2load_unknown_output_is_an_error(output: str) -> None:
    with pytest.raises(LoadError):
        parse_h2load(output)


def test_post_script_has_the_size(tmp_path: Path) -> None:
    assert 'string.rep("x", 10240)' in post_script(tmp_path, 10240).read_text()


def test_h2load_log_gives_the_time_of_each_request() -> None:
    times = parse_h2load_log("1790000000000000\t200\t1500\n1790000000001000\t200\t250\n")
    assert times == [0.0015, 0.00025]


def test_h2load_log_of_another_kind_is_an_error() -> None:
    with pytest.raises(LoadError, match="not a line"):
        parse_h2load_log("127.0.0.1 - GET /")


def test_percentiles_are_of_the_sorted_times() -> None:
    assert percentiles([float(time) for time in range(101, 0, -1)]) == (51.0, 100.0)
    assert percentiles([3.0]) == (3.0, 3.0)


def test_generator_rate_and_latencies() -> None:
    output = (
        '{"done": 5000, "failed": 0, "why": "", "seconds": 2.0, "p50": 0.000067, "p99": 0.0037}\n'
    )
    found = generator.parse(output)
    assert found.requests_per_second == 2500.0
    assert found.latency_median == pytest.approx(0.000067)
    assert found.latency_99 == pytest.approx(0.0037)
    assert found.problem is None


def test_generator_counts_bodies_by_their_size() -> None:
    output = '{"done": 6, "failed": 0, "why": "", "seconds": 3.0, "p50": 0.0, "p99": 0.0}'
    found = generator.parse(output, scale=100.0)
    assert found.requests_per_second == 200.0
    assert found.latency_median is None


def test_generator_failure_is_a_problem() -> None:
    output = (
        '{"done": 0, "failed": 1, "why": "no connection", "seconds": 0.0, "p50": 0.0, "p99": 0.0}'
    )
    assert generator.parse(output).problem == "1 of 1 requests: no connection"


@pytest.mark.parametrize("output", ["", "Segmentation fault", '{"done": 1}', "[]"])
def test_generator_unknown_output_is_an_error(output: str) -> None:
    with pytest.raises(LoadError, match="printed"):
        generator.parse(output)


def test_several_runs_make_one_rate() -> None:
    # A second each: one had 100 requests, the other 300.
    one, other = Load(100.0, 100, 0, "", busy=0.2), Load(300.0, 300, 0, "", busy=0.4)
    found = combined([one, other])
    assert (found.requests_per_second, found.requests) == (200.0, 400)
    assert found.busy == pytest.approx(0.3)
    assert found.problem is None


def test_a_failure_in_one_of_several_runs_is_kept() -> None:
    found = combined([Load(100.0, 100, 0, ""), Load(0.0, 0, 7, "7 errored")])
    assert found.problem == "7 of 107 requests: 7 errored"


class Counted(H2Load):
    """Takes the number of requests of each run instead of making it, at 1,000 a second."""

    runs: list[int]

    def count(self, url: str, requests: int, seconds: int, core: int) -> Load:
        self.runs.append(requests)
        return Load(1000.0, requests, 0, "")


def counted(streams: int) -> Counted:
    made = Counted(connections=2, streams=streams)
    object.__setattr__(made, "runs", [])
    return made


def test_h2load_is_asked_for_what_fits_into_the_time() -> None:
    load = counted(streams=10)
    load.run("https://localhost/", 3, 0, 1000.0)
    assert load.runs == [3000]


def test_h2load_finds_the_rate_with_a_few_requests_first() -> None:
    load = counted(streams=10)
    load.run("https://localhost/", 2, 0, None)
    assert load.runs == [80, 2000]


def test_h2load_keeps_under_the_requests_a_connection_may_have() -> None:
    load = counted(streams=10)
    found = load.run("https://localhost/", 10, 0, 1000.0, most=400)
    assert max(load.runs) <= 400 * load.connections
    assert math.isclose(sum(load.runs), 10_000, rel_tol=0.1)
    assert found.requests == sum(load.runs)
