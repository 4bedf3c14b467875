"""A soak: mixed traffic for a long time, with kills, reloads and aborted peers; see README.md."""
