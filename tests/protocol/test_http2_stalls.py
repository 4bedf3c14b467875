"""HTTP/2 peers that take their time: tiny windows, trickling bodies (RFC 9113 section 10.5)."""

import pytest
from playbook import next_output, respond
from playbook_http2 import GET, POST, Server, data, headers, on_h2, window

from tricorn.protocol.events import PeerFault, StreamReset
from tricorn.protocol.http2_errors import ENHANCE_YOUR_CALM, NO_ERROR

pytestmark = pytest.mark.usefixtures("http2_codec")


def resets(events):
    return [event.stream_id for event in events if type(event) is StreamReset]


class TestWindowsOfOneByte:
    """CVE-2019-9511: a response in frames of one byte costs a frame and its window update."""

    def begun(self, size=100_000, **options):
        server = Server(client_settings={0x4: 0}, **options)
        server.receive(headers(1))
        respond(1, body=bytes(size))(server.connection)
        server.frames()
        server.connection.handle_timeout(0)
        return server

    def test_they_have_the_budget_of_frames_without_use(self):
        server = self.begun(h2_max_glitches=100)
        frames = []
        while not server.connection.closing:
            server.receive(window(1, 1))
            frames += server.frames()
            assert len(frames) < 100
        assert len(frames) > 40  # two glitches each
        assert frames[-1] == ("GOAWAY", 1, ENHANCE_YOUR_CALM)

    def test_time_gives_a_slow_peer_its_frames_back(self):
        server = self.begun(h2_max_glitches=100, h2_glitches_per_second=20)
        for second in range(1, 100):
            for _ in range(10):
                server.receive(window(1, 1))
                assert server.frames("DATA")
            server.connection.handle_timeout(second)
            if second % 30 == 29:  # the least progress of write_timeout
                server.receive(window(1, 1024))
                server.frames()
        assert not server.connection.closing

    def test_they_do_not_keep_a_stream_past_write_timeout(self):
        server = self.begun(write_timeout=30)
        for second in range(1, 30):
            server.receive(window(1, 1))
            server.frames()
            assert server.connection.handle_timeout(second) == []
        events = server.connection.handle_timeout(30)
        assert resets(events) == [1]
        assert [e.limit for e in events if type(e) is PeerFault] == ["write_timeout"]
        assert not server.connection.closing

    def test_the_time_begins_with_the_response(self):
        server = Server(client_settings={0x4: 0}, write_timeout=30)
        server.receive(headers(1))
        for second in range(100):
            assert server.connection.handle_timeout(second) == []
        respond(1, body=b"x")(server.connection)
        server.frames()
        for second in range(100, 130):
            assert server.connection.handle_timeout(second) == []
        assert resets(server.connection.handle_timeout(130)) == [1]

    def test_nor_do_bytes_of_a_request_that_is_being_answered(self):
        server = Server(client_settings={0x4: 0}, write_timeout=30)
        server.receive(headers(1, POST, end=False))
        server.connection.send_headers(1, 200, [])
        server.connection.send_data(1, b"x")
        server.connection.handle_timeout(0)
        for second in range(1, 30):
            server.receive(data(1, b"y"))
            assert server.connection.handle_timeout(second) == []
        assert resets(server.connection.handle_timeout(30)) == [1]

    @pytest.mark.parametrize("upload", [False, True])
    def test_nor_does_an_end_that_waits_for_one(self, upload):
        server = Server(client_settings={0x4: 5}, write_timeout=30)
        server.receive(headers(1, POST, end=False))
        server.connection.send_headers(1, 200, [])
        server.connection.send_data(1, b"hello")
        server.frames()
        server.connection.send_data(1, b"", True)
        waits = server.frames() == []  # h2 sends an empty frame without a window
        assert waits is not on_h2()
        found = []
        for second in range(32):
            if upload:
                server.receive(data(1, b"y"))
            found += server.connection.handle_timeout(second)
        assert resets(found) == [1] * waits
        assert [e.limit for e in found if type(e) is PeerFault] == ["write_timeout"] * waits
        assert server.connection.idle

    def test_an_end_that_has_its_window_is_no_stall(self):
        server = Server(client_settings={0x4: 5}, write_timeout=30)
        server.receive(headers(1, POST, end=False))
        server.connection.send_headers(1, 200, [])
        server.connection.send_data(1, b"hello")
        server.frames()
        server.connection.send_data(1, b"", True)
        server.connection.handle_timeout(0)
        server.receive(window(1, 1), data(1, end=True))
        server.frames()
        assert server.connection.handle_timeout(30) == []
        assert server.connection.idle

    def test_a_peer_that_takes_its_share_keeps_it(self):
        server = self.begun(write_timeout=30)
        for second in range(0, 90, 29):
            server.receive(window(1, 1024))
            server.frames()
            assert server.connection.handle_timeout(second) == []

    def test_small_windows_with_little_to_send_are_no_glitch(self):
        server = Server(client_settings={0x4: 0}, h2_max_glitches=20, h2_glitches_per_second=0.001)
        server.receive(headers(1))
        server.connection.send_headers(1, 200, [])
        for _ in range(100):
            server.connection.send_data(1, b"event")
            server.receive(window(1, 5))
            assert server.frames("DATA") == [("DATA", 1, b"event", False)]
        assert not server.connection.closing


def test_the_rest_of_a_request_that_is_answered_has_one_limit():
    """However it trickles: nobody wants it."""
    server = Server(close_timeout=5)
    server.receive(headers(1, POST, end=False))
    respond(1)(server.connection)
    server.frames()
    server.connection.handle_timeout(0)
    for second in range(1, 5):
        server.receive(data(1, b"y"))
        server.connection.handle_timeout(second)
        assert server.frames("RST_STREAM") == []
    server.receive(data(1, b"y"))
    server.connection.handle_timeout(5)
    assert server.frames("RST_STREAM") == [("RST_STREAM", 1, NO_ERROR)]


@pytest.mark.parametrize("waits", [True, False])
def test_a_body_that_was_not_asked_for_costs_nobody_time(waits):
    server = Server(read_timeout=30)
    server.receive(headers(1, [*POST, (b"expect", b"100-continue")], end=False))
    server.connection.handle_timeout(0)
    if waits:
        for now in (100, 200):
            assert server.connection.handle_timeout(now) == []
        server.connection.send_informational(1, 100, [])
    else:
        server.receive(data(1, b"x"))
        server.connection.consumed(1, 1)
    assert server.connection.handle_timeout(201) == []
    assert server.connection.handle_timeout(230) == []
    assert resets(server.connection.handle_timeout(231)) == [1]


@pytest.mark.parametrize("unsent", [True, False])
def test_a_stream_that_moves_is_left_alone(unsent):
    server = Server(client_settings={0x4: 65535}, write_timeout=30, read_timeout=30)
    server.receive(headers(1, POST, end=False))
    now = 0.0
    for _ in range(20):
        server.receive(data(1, b"x"))
        server.connection.consumed(1, 1)
        if unsent and not now:
            respond(1, body=bytes(30_000))(server.connection)
        server.frames()
        assert resets(server.connection.handle_timeout(now)) == []
        if unsent:
            break
        now += 29


def test_what_comes_of_a_frame_is_progress_before_it_is_whole():
    server = Server(read_timeout=30)
    server.receive(headers(1, POST, end=False), headers(3, POST, end=False))
    frame = data(1, bytes(16384))
    found = []
    for second in range(60):
        assert server.receive(frame[100 * second : 100 * second + 100]) == []
        found += resets(server.connection.handle_timeout(second))
    assert found == [3]
    assert server.connection.arriving(1) == 6000 - 9
    assert server.connection.arriving(3) == 0
    # From its last piece on, half a frame is as silent as none.
    assert resets(server.connection.handle_timeout(88)) == []
    assert resets(server.connection.handle_timeout(89)) == [1]


class TestTurns:
    """Whose turn it is: a response waits for others, or a request for their window."""

    def slow(self, *priorities, rate=65536, count=2, size=2_000_000, **options):
        """Responses to a peer that takes ``rate`` bytes a second; the resets."""
        server = Server(client_settings={0x4: 2**31 - 1}, write_timeout=30, **options)
        server.receive(window(0, 2**31 - 1 - 65535))
        ids = range(1, 2 * count, 2)
        for stream_id, priority in zip(ids, priorities or [b"u=3"] * count, strict=True):
            server.receive(headers(stream_id, [*GET, (b"priority", priority)]))
            respond(stream_id, body=bytes(size))(server.connection)
        found, room = [], 0
        for second in range(100):
            room += rate
            while room > 0 and (buffers := next_output(server.connection)):
                room -= sum(map(len, buffers))
            found += resets(server.connection.handle_timeout(second))
        return found

    @pytest.mark.parametrize("priorities", [(b"u=1", b"u=5"), (b"u=1", b"u=1")])
    def test_a_response_behind_another_is_not_late(self, priorities):
        assert self.slow(*priorities, size=20_000_000) == []

    def test_nor_is_one_of_many(self):
        assert self.slow(count=30, rate=8192, size=60_000) == []

    @pytest.mark.parametrize(("step", "late"), [(2000, False), (500, True)])
    def test_by_the_window_of_the_connection_each_is_owed_its_share(self, step, late):
        server = Server(client_settings={0x4: 2**31 - 1}, write_timeout=30)
        for stream_id in (1, 3):
            server.receive(headers(stream_id, [*GET, (b"priority", b"u=%d" % stream_id)]))
            respond(stream_id, body=bytes(200_000))(server.connection)
        server.frames()
        server.connection.handle_timeout(0)
        found = []
        for second in range(29, 120, 29):
            server.receive(window(0, step + 200))
            server.frames()
            found += resets(server.connection.handle_timeout(second))
        assert (found == []) is not late

    def test_a_request_without_a_window_is_not_silent(self):
        server = Server(h2_connection_window_size=65535, h2_stream_window_size=65535)
        server.receive(headers(1, POST, end=False), *[data(1, bytes(13107))] * 5)
        server.receive(headers(3, POST, end=False))
        assert not server.connection.may_receive
        for second in range(100):
            assert resets(server.connection.handle_timeout(second)) == []
        server.connection.consumed(1, 65535)
        assert server.connection.may_receive
        for second in range(100, 129):
            assert resets(server.connection.handle_timeout(second)) == []
        assert 3 in resets(server.connection.handle_timeout(129))


@pytest.mark.parametrize("others", [62, 63, 64, 65, 130])
def test_a_stream_behind_which_many_were_opened_goes_on(others):
    server = Server(h2_max_concurrent_streams=200)
    server.receive(headers(1, POST, end=False))
    server.receive(*(headers(3 + 2 * index) for index in range(others)))
    (event,) = server.receive(data(1, b"x"))
    assert (event.stream_id, event.data) == (1, b"x")
    respond(1)(server.connection)
    assert [frame[1] for frame in server.frames("HEADERS")] == [1]
