"""The driver: any application against any peer, each in turn, over every protocol.

Nothing but the documented exceptions reaches the application, clients of other people's making
read what is written, and behind the end of the connection nothing of it is left.
"""

from compliance.fuzzing import asgi
from compliance.fuzzing.targets import TARGETS
from fuzz_strategies import CHOICES, fuzz, mutations
from hypothesis import given
from hypothesis import strategies as st
from test_fuzz_http1 import CONVERSATIONS
from test_fuzz_http2 import ANYTHING, ORDERED, SPECIAL
from test_fuzz_websocket import CONVERSATIONS as MESSAGES
from test_fuzz_websocket import SPECIAL as ODD_MESSAGES

check = TARGETS["asgi"].check


@fuzz
@given(mutations(CONVERSATIONS), CHOICES, st.booleans())
def test_http_1(wire, choices, small):
    check(asgi.conversation(asgi.HTTP1, wire, choices, small=small))


@fuzz
@given(st.one_of(ORDERED, mutations(ANYTHING, SPECIAL)), CHOICES, st.booleans())
def test_http_2(wire, choices, small):
    check(asgi.conversation(asgi.HTTP2, wire, choices, small=small))


@fuzz
@given(st.one_of(ORDERED, mutations(ANYTHING, SPECIAL)), CHOICES, st.booleans())
def test_http_1_upgraded_to_h2c(wire, choices, small):
    check(asgi.conversation(asgi.UPGRADE, wire, choices, small=small))


@fuzz
@given(mutations(MESSAGES, ODD_MESSAGES), CHOICES, st.booleans())
def test_websocket_over_http_1(wire, choices, small):
    check(asgi.conversation(asgi.WEBSOCKET_HTTP1, wire, choices, small=small))


@fuzz
@given(mutations(MESSAGES, ODD_MESSAGES), CHOICES, st.booleans())
def test_a_client_that_keeps_the_rules_of_http_2_reads_all_of_it(wire, choices, small):
    # Its streams are requests and WebSockets, with resets and window changes between.
    check(asgi.conversation(asgi.CLIENT, wire, choices, small=small))


@fuzz
@given(st.integers(0, 4), st.binary(max_size=300), CHOICES, st.booleans())
def test_noise(mode, wire, choices, small):
    check(asgi.conversation(mode, wire, choices, small=small))
