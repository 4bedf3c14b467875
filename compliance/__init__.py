"""Conformance runs against a live server; see ``compliance/README.md``."""
