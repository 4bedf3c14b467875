"""KeyUpdate messages of a TLS 1.3 client, which Python's ssl module has no call for.

They are made of the secret that it writes to a key log (``SSLContext.keylog_filename``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

# By cipher suite: the hash, and the bytes of a key (RFC 8446 appendix B.4).
_SUITES: Final[dict[str, tuple[HashAlgorithm, int]]] = {
    "TLS_AES_128_GCM_SHA256": (SHA256(), 16),
    "TLS_AES_256_GCM_SHA384": (SHA384(), 32),
}
_TAG: Final = 16
# key_update (24) of one byte: update_requested; and the type of what is inside, handshake (22).
_MESSAGE: Final = bytes((24, 0, 0, 1, 1, 22))


class KeyUpdates:
    """Those of one connection; no other record may be sent any more.

    :param keys: the key log; the last connection in it is meant.
    :param suite: the cipher suite, as ``SSLObject.cipher`` names it.
    :param sent: records of application data the client has sent so far.
    """

    def __init__(self, keys: Path, suite: str, sent: int) -> None:
        self._hash, self._size = _SUITES[suite]
        lines = [line.split() for line in keys.read_text().splitlines()]
        [*_, secret] = [line[2] for line in lines if line[0] == "CLIENT_TRAFFIC_SECRET_0"]
        self._secret = bytes.fromhex(secret)
        self._number = sent

    def take(self, count: int) -> bytes:
        """The next records."""
        return b"".join(self._next() for _ in range(count))

    def _next(self) -> bytes:
        """One record, RFC 8446 sections 5.2 and 5.3, and the keys behind it (7.2)."""
        head = b"\x17\x03\x03" + (len(_MESSAGE) + _TAG).to_bytes(2, "big")
        key, iv = self._expand(b"key", self._size), self._expand(b"iv", 12)
        nonce = (int.from_bytes(iv, "big") ^ self._number).to_bytes(12, "big")
        record = head + AESGCM(key).encrypt(nonce, _MESSAGE, head)
        self._secret, self._number = self._expand(b"traffic upd", len(self._secret)), 0
        return record

    def _expand(self, label: bytes, size: int) -> bytes:
        """HKDF-Expand-Label with no context (RFC 8446 section 7.1)."""
        label = b"tls13 " + label
        info = size.to_bytes(2, "big") + bytes((len(label),)) + label + b"\0"
        return HKDFExpand(self._hash, size, info).derive(self._secret)
