"""h2spec: the HTTP/2 rules of RFC 9113 and RFC 7541, asked one by one of a running server."""
