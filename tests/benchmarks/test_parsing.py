"""What load generators print, and what is made of it.

The samples are from recorded runs: those of wrk as they were, those of h2load with one
common head and without lines that are not read.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # `benchmarks` is run from the tree, never installed

from benchmarks.load import LoadError, parse_h2load, parse_wrk, post_script  # noqa: E402
from benchmarks.report import (  # noqa: E402
    Cell,
    Ratio,
    Table,
    as_json,
    judge,
    ratio,
    render,
    write_json,
)

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


def test_median_is_of_the_rounds() -> None:
    assert Cell([30.0, 10.0, 20.0]).median == 20.0
    assert Cell([]).median is None


def test_a_problem_takes_the_figure_away() -> None:
    assert Cell([10.0, 20.0], problem="1 of 20 requests: 1 failed").median is None


def test_ratio_is_taken_round_by_round() -> None:
    # The machine slowed down threefold; each round alone says 2 x or 3 x.
    found = ratio(Cell([200.0, 300.0, 60.0]), Cell([100.0, 100.0, 30.0]))
    assert found == Ratio(median=2.0, least=2.0, greatest=3.0)


def test_no_ratio_with_a_failed_side() -> None:
    good, bad = Cell([1.0]), Cell([1.0], problem="stalled")
    assert ratio(good, bad) is None
    assert ratio(bad, good) is None
    assert ratio(good, Cell([0.0])) is None


def small(**cells: Cell) -> dict[str, Table]:
    """An http1-small table; the underscores of the names stand for dashes."""
    named = {name.replace("_", "-"): cell for name, cell in cells.items()}
    return {"http1-small": Table("http1-small", "requests/s", True, named)}


@pytest.mark.parametrize(("own", "met"), [(12.0, True), (13.0, True), (11.9, False)])
def test_factor_bar(own: float, met: bool) -> None:
    (verdict,) = judge(small(tricorn_uvloop=Cell([own]), uvicorn_h11=Cell([10.0])))
    assert verdict.met is met
    assert "1.2 x uvicorn-h11" in verdict.bar


def test_factor_bar_is_missed_by_our_failure_and_unknown_with_theirs() -> None:
    good, bad = Cell([50.0]), Cell([50.0], problem="7 of 9 requests: 7 failed")
    (verdict,) = judge(small(tricorn_uvloop=bad, uvicorn_h11=good))
    assert verdict.met is False
    (verdict,) = judge(small(tricorn_uvloop=good, uvicorn_h11=bad))
    assert verdict.met is None


def test_bars_are_judged_only_where_both_sides_were_run() -> None:
    assert judge(small(tricorn_uvloop=Cell([1.0]), granian=Cell([9.0]))) == []
    assert judge({}) == []


def test_memory_bar_is_for_tricorn_alone() -> None:
    name = "memory-growth-h2c-download-slow-peer"
    cells = {
        "tricorn-uvloop": Cell([4.0]),
        "tricorn-trio": Cell([4.1]),
        "tricorn-asyncio": Cell([], problem="stalled"),
        "hypercorn-uvloop": Cell([10.4]),
    }
    verdicts = judge({name: Table(name, "MiB/connection", False, cells)})
    assert [verdict.met for verdict in verdicts] == [True, False, False]
    assert all(name in verdict.bar for verdict in verdicts)


def test_idle_size_has_no_bar() -> None:
    table = Table("memory-idle-h2c", "KiB/connection", False, {"tricorn-uvloop": Cell([50.0])})
    assert judge({table.name: table}) == []


def test_a_failed_run_is_shown_as_such_and_last() -> None:
    failed = Cell([99_999.0], problem="3 of 9 requests: 3 failed\nand more")
    tables = small(granian=failed, uvicorn_h11=Cell([5.0]), tricorn_uvloop=Cell([20.0, 10.0]))
    lines = render(tables["http1-small"]).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["tricorn-uvloop", "uvicorn-h11", "granian"]
    assert "15.00  (10.00 .. 20.00)  1.00 x" in lines[1]
    assert lines[3].endswith("FAILED: 3 of 9 requests: 3 failed")
    assert "99,999" not in lines[3]


def test_less_is_first_where_less_is_better() -> None:
    table = Table("memory-at-start", "MiB", False, {"a": Cell([70.0]), "b": Cell([30.0])})
    assert [line.split()[0] for line in render(table).splitlines()[1:]] == ["b", "a"]


def test_json_has_every_round_and_the_problem(tmp_path: Path) -> None:
    bad = Cell([7.0], problem="stalled")
    tables = small(tricorn_uvloop=Cell([24.0, 36.0]), uvicorn_h11=Cell([10.0, 10.0]), daphne=bad)
    path = tmp_path / "results" / "run.json"
    write_json(path, as_json({"rounds": 2}, tables, judge(tables)))
    content = json.loads(path.read_text())
    servers = content["tables"]["http1-small"]["servers"]
    assert content["meta"] == {"rounds": 2}
    assert servers["tricorn-uvloop"]["rounds"] == [24.0, 36.0]
    assert servers["tricorn-uvloop"]["median"] == 30.0
    assert servers["uvicorn-h11"]["ratio"] == pytest.approx((10 / 24 + 10 / 36) / 2)
    assert servers["daphne"]["median"] is None
    assert servers["daphne"]["problem"] == "stalled"
    assert content["bars"][0]["met"] is True
