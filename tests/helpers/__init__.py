"""What the tests of the running server share: servers on any event loop, and wire clients."""
