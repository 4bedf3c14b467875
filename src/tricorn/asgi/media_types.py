"""Media types of files by their names, the same on every machine."""

from __future__ import annotations

import mimetypes
import os

# The tables of the standard library without those of the system.
_TYPES = {**mimetypes.MimeTypes().types_map[0], **mimetypes.MimeTypes().types_map[1]}
_TYPES.update(
    {
        ".avif": "image/avif",
        ".br": "application/octet-stream",
        ".bz2": "application/x-bzip2",
        ".flac": "audio/flac",
        ".gz": "application/gzip",
        ".ico": "image/x-icon",
        ".js": "text/javascript",  # RFC 9239
        ".m4a": "audio/mp4",
        ".map": "application/json",
        ".md": "text/markdown",
        ".mjs": "text/javascript",
        ".ogg": "audio/ogg",
        ".opus": "audio/ogg",
        ".otf": "font/otf",
        ".tgz": "application/gzip",
        ".toml": "application/toml",
        ".ttf": "font/ttf",
        ".wasm": "application/wasm",
        ".webm": "video/webm",
        ".webmanifest": "application/manifest+json",
        ".webp": "image/webp",
        ".woff": "font/woff",
        ".woff2": "font/woff2",
        ".xz": "application/x-xz",
        ".yaml": "application/yaml",
        ".yml": "application/yaml",
        ".zst": "application/zstd",
    }
)
_FIELDS: dict[str, bytes] = {
    extension: (kind + "; charset=utf-8" if kind.startswith("text/") else kind).encode("ascii")
    for extension, kind in _TYPES.items()
}


def content_type(name: str) -> bytes:
    """The value of Content-Type for a file of this name; text is said to be UTF-8."""
    extension = os.path.splitext(name)[1]
    found = _FIELDS.get(extension) or _FIELDS.get(extension.lower())
    return found or b"application/octet-stream"
