"""The published tests of frameworks and other servers, run with Tricorn in the server's place."""
