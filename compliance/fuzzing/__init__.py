"""Coverage-guided fuzzing of the codecs, the protocol rules and the ASGI layer; see README.md."""
