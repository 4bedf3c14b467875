"""Whole conversations with a sans-IO HTTP connection.

    play = Playbook(http1())
    play >> b"GET / HTTP/1.1\\r\\nhost: a\\r\\n\\r\\n"     # bytes in, or EOF, Tick(now), any call
    play << Request(1, method="GET")                   # the next event
    play >> respond(1, body=b"hi")                     # a call on the connection
    play << b"HTTP/1.1 200 OK\\r\\n..."                  # all bytes out since the last look
    play << State(closing=False)                       # attributes of the connection
    play.run()

``run()`` plays it with the bytes as given, byte by byte, and cut as asked. DATA events of
one stream that follow each other count as one, and are consumed as they come unless told
otherwise. Whatever was not expected fails, and the failure prints the whole dialogue.
"""

import inspect
from contextvars import ContextVar

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tricorn.config import Config
from tricorn.protocol import negotiate
from tricorn.protocol.events import DataReceived, LimitReached, PeerFault, RequestReceived

WHOLE = (1 << 30,)
BYTEWISE = (1,)
# Sizes of the pieces, used in turn.
CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=12).map(tuple)

#: The HTTP/1.1 codec that `http1` takes; set by the fixture ``http1_codec``.
codec_under_test = ContextVar("codec_under_test", default="auto")

EOF = type("EndOfFile", (), {"__repr__": lambda self: "EOF"})()
ANY_OUTPUT = type("AnyOutput", (), {"__repr__": lambda self: "ANY_OUTPUT"})()


def http1(**options):
    """Makes HTTP/1.1 connections of this configuration, on the codec under test."""
    config = Config(**({"http1_codec": codec_under_test.get()} | options))
    return lambda: negotiate.http1(config)


class Tick:
    """``handle_timeout(now)``; events of it count like any."""

    def __init__(self, now):
        self.now = now

    def __repr__(self):
        return f"Tick({self.now})"


class Call:
    """A method of the connection, with arguments."""

    def __init__(self, name, *args, **kwargs):
        self.name, self.args, self.kwargs = name, args, kwargs

    def __repr__(self):
        told = [repr(arg) for arg in self.args] + [f"{k}={v!r}" for k, v in self.kwargs.items()]
        return f"{self.name}({', '.join(told)})"

    def __call__(self, connection):
        getattr(connection, self.name)(*self.args, **self.kwargs)


def respond(stream_id, status=200, headers=(), body=b""):
    """A whole response with its Content-Length."""

    def send(connection):
        framing = [(b"content-length", b"%d" % len(body))] if status not in (204, 304) else []
        connection.send_headers(stream_id, status, [*headers, *framing], not body)
        if body:
            connection.send_data(stream_id, body, True)

    send.__qualname__ = f"respond({stream_id}, {status}, {list(headers)}, {body!r})"
    return send


class Like:
    """An event of this type of which the named attributes are compared."""

    def __init__(self, kind, **attributes):
        known = set(kind.names())
        assert attributes.keys() <= known, f"{kind.__name__} has no {attributes.keys() - known}"
        self.kind, self.attributes = kind, attributes

    def __repr__(self):
        told = ", ".join(f"{name}={value!r}" for name, value in self.attributes.items())
        return f"{self.kind.__name__}({told}, ...)"

    def __eq__(self, event):
        return type(event) is self.kind and all(
            getattr(event, name) == value for name, value in self.attributes.items()
        )

    def __or__(self, other):
        return Either(self, other)

    __hash__ = None


class Either:
    """One of several events."""

    def __init__(self, *choices):
        self.choices = choices

    def __repr__(self):
        return " or ".join(map(repr, self.choices))

    def __eq__(self, event):
        return any(choice == event for choice in self.choices)

    __hash__ = None


def Request(stream_id, **attributes):
    return Like(RequestReceived, stream_id=stream_id, **attributes)


def Fault(status, **attributes):
    return Like(PeerFault, status=status, **attributes)


class Limit:
    """A bound that was reached and is no fault, by its option."""

    def __init__(self, option):
        self.option = option

    def __repr__(self):
        return f"Limit({self.option!r})"


class SomeData:
    """Any body bytes of the stream, or none: how many come before a fault depends on the cut."""

    def __init__(self, stream_id):
        self.stream_id = stream_id

    def __repr__(self):
        return f"SomeData({self.stream_id})"


class State:
    """Attributes of the connection at this point."""

    def __init__(self, **attributes):
        self.attributes = attributes

    def __repr__(self):
        return f"State({self.attributes})"


class Output:
    """A condition on the bytes out; ``describe`` turns them into something to read."""

    def __init__(self, condition, name="?", describe=repr):
        self.condition, self.name, self.describe = condition, name, describe

    def __repr__(self):
        return f"Output({self.name})"


def contains(*parts):
    """Bytes out that hold all of these."""
    return Output(lambda data: all(part in data for part in parts), f"contains {parts}")


def next_output(connection):
    """What is to be sent now; ``has_output`` may not deny it."""
    denied = not connection.has_output
    buffers = connection.data_to_send()
    assert not (denied and buffers)
    return buffers


class Playbook:
    """See the module."""

    def __init__(self, connect, *, consume=True):
        self.connect = connect
        self.consume = consume
        self.steps = []

    def __rshift__(self, step):
        self.steps.append((">>", step))
        return self

    def __lshift__(self, expected):
        self.steps.append(("<<", expected))
        return self

    def run(self, cut=WHOLE):
        """Play it with the input cut into pieces of these sizes."""
        _Run(self, cut).play()


class _Run:
    def __init__(self, playbook, cut):
        self.connection = playbook.connect()
        self.playbook = playbook
        self.cut = cut
        self.events = []
        self.limits = []  # options of LimitReached events, which play no other part
        self.output = b""
        self.memory = {}  # for steps that keep something from look to look
        self.log = [f"cut into {cut}"]

    def play(self):
        self.take([])
        for direction, step in self.playbook.steps:
            if direction == ">>":
                self.nothing_left()
                self.log.append(
                    f">> {step!r}" if not inspect.isfunction(step) else f">> {step.__qualname__}"
                )
                self.do(step)
            else:
                self.expect(step)
        self.nothing_left()
        if self.output:
            self.fail(f"unexpected output {self.output!r}")

    def do(self, step):
        connection = self.connection
        if isinstance(step, bytes):
            start = turn = 0
            while start < len(step):
                size = self.cut[turn % len(self.cut)]
                self.take(connection.receive_data(step[start : start + size]))
                start += size
                turn += 1
        elif step is EOF:
            self.take(connection.receive_eof())
        elif isinstance(step, Tick):
            self.take(connection.handle_timeout(step.now))
        else:
            step(connection)
            self.take([])

    def take(self, events):
        """What a driver does after each call."""
        while True:
            for event in events:
                self.keep(event)
            while buffers := next_output(self.connection):
                self.output += b"".join(map(bytes, buffers))
            if not self.connection.has_events:
                return
            events = self.connection.take_events()

    def keep(self, event):
        if type(event) is LimitReached:
            self.limits.append(event.limit)
            return
        if type(event) is DataReceived:
            if self.playbook.consume:
                self.connection.consumed(event.stream_id, len(event.data))
            last = self.events[-1] if self.events else None
            if type(last) is DataReceived and last.stream_id == event.stream_id:
                self.events[-1] = DataReceived(event.stream_id, last.data + event.data)
                return
        self.events.append(event)

    def expect(self, step):
        if isinstance(step, Limit):
            if step.option not in self.limits:
                self.fail(f"no LimitReached of {step.option}: {self.limits}")
            self.limits.remove(step.option)
        elif isinstance(step, State):
            for name, value in step.attributes.items():
                found = getattr(self.connection, name)
                if found != value:
                    self.fail(f"{name} is {found!r}, expected {value!r}")
        elif isinstance(step, SomeData):
            if self.events and type(self.events[0]) is DataReceived:
                self.log.append(f"   {self.events.pop(0)!r}")
        elif hasattr(step, "check"):
            step.check(self)
        elif step is ANY_OUTPUT:
            self.output = b""
        elif isinstance(step, Output):
            if not step.condition(self.output):
                self.fail(f"output {step.describe(self.output)}, expected {step!r}")
            self.output = b""
        elif isinstance(step, bytes):
            if self.output != step:
                self.fail(f"output {self.output!r}, expected {step!r}")
            self.output = b""
        else:
            if not self.events or step != self.events[0]:
                self.fail(f"next event {self.events[:1]!r}, expected {step!r}")
            self.events.pop(0)
        self.log.append(f"<< {step!r}")

    def nothing_left(self):
        if self.events:
            self.fail(f"unexpected events {self.events!r}")

    def fail(self, reason):
        raise AssertionError("\n".join([*self.log, f"!! {reason}", f"   {self.connection!r}"]))


def conversation(build):
    """A test method that builds a Playbook: it is played whole, byte by byte, and in pieces."""

    def test(self, *arguments, **named):
        named = test.__signature__.bind(self, *arguments, **named).arguments
        cut = named.pop("cut")
        build(**named).run(cut)

    test.__name__, test.__qualname__ = build.__name__, build.__qualname__
    test.__module__, test.__doc__ = build.__module__, build.__doc__
    parameters = list(inspect.signature(build).parameters.values())
    cut = inspect.Parameter("cut", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    test.__signature__ = inspect.Signature([parameters[0], cut, *parameters[1:]])
    test.pytestmark = getattr(build, "pytestmark", [])
    played = given(cut=CUTS)(test)
    played = example(cut=BYTEWISE)(example(cut=WHOLE)(played))
    return settings(
        max_examples=6,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
    )(played)
