"""Things that users of frameworks run: big bodies, gRPC, MCP, GraphQL, server-sent events."""
