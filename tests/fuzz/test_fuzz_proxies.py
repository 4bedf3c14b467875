"""What proxies say: whatever it is, it is read the same in any cut and makes a sound scope."""

from compliance.fuzzing import seeds
from compliance.fuzzing.inputs import join, split
from compliance.fuzzing.targets import TARGETS
from fuzz_strategies import fuzz, mutations
from hypothesis import given
from hypothesis import strategies as st

WIRES = {name: [split(data)[0] for data in seeds.SEEDS[name]()] for name in seeds.SEEDS}
SPECIAL = (b",", b";", b'"', b"\\", b":", b"[", b"]", b"=", b" ", b"unix:", b"/", b"%", b"\xff")
BLOCKS = (b"\0", b"\xff", b"\r\n", b"\r", b" ", b"PROXY ", b"\x21\x11\0\x0c")


@fuzz
@given(mutations(st.sampled_from(WIRES["forwarded"]), SPECIAL), st.binary(max_size=2))
def test_forwarded_fields(wire, choices):
    TARGETS["forwarded"].check(join(wire, choices))


@fuzz
@given(mutations(st.sampled_from(WIRES["proxy_protocol"]), BLOCKS), st.binary(max_size=6))
def test_proxy_protocol(wire, choices):
    TARGETS["proxy_protocol"].check(join(wire, choices))
