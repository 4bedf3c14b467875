"""Valid messages, mutations of them, and ways to cut bytes into pieces.

``TRICORN_FUZZ_EXAMPLES`` sets the examples of each test (80 by default), for long runs; those
are drawn anew each time, the short ones are always the same. Coverage leads the runs of
``python -m compliance.fuzzing``, whose checks these tests use.
"""

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("TRICORN_FUZZ_EXAMPLES", "0"))

fuzz = settings(
    max_examples=EXAMPLES or 80,
    derandomize=not EXAMPLES,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

SPECIAL = [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"0", b"\xff", b"\x7f"]


@st.composite
def mutations(draw, messages, special=tuple(SPECIAL)):
    """A valid message in which a few places are changed, or none."""
    data = bytearray(draw(messages))
    for _ in range(draw(st.integers(0, 3))):
        if not data:
            break
        start = draw(st.integers(0, len(data) - 1))
        end = min(len(data), start + draw(st.integers(1, 12)))
        match draw(st.sampled_from(["flip", "delete", "repeat", "insert", "cut"])):
            case "flip":
                data[start] ^= 1 << draw(st.integers(0, 7))
            case "delete":
                del data[start:end]
            case "repeat":
                data[start:start] = data[start:end]
            case "insert":
                data[start:start] = draw(st.sampled_from(special))
            case "cut":
                del data[start:]
    return bytes(data)


SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=8)
CHOICES = st.binary(max_size=100)
