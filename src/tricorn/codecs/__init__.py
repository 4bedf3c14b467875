"""Codecs: bytes to and from one wire syntax. The only modules that import protocol libraries."""
