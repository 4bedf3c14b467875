"""The rows of the schema: name, type, default and description of every option.

A field's name is its TOML key; its flag (``--key-with-dashes``), its environment variable
(``TRICORN_KEY``), its row in the reference and its line in the example file all come from
the same `Option`, so a new option is one new entry here. Times are float seconds, sizes are
int bytes, ``None`` means no limit or not set, and lists are stored as tuples of str.
"""

from __future__ import annotations

from collections.abc import Sequence

from tricorn.config_values import Kind, option
from tricorn.records import Record

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from typing import Any

APP = "Application"
ADDRESSES = "Addresses"
TLS = "TLS"
PROCESS = "Process"
HTTP = "Requests and responses"
TIMEOUTS = "Timeouts"
LIMITS = "Limits"
PROXIES = "Behind a proxy"
HEALTH = "Health and metrics"
HTTP1 = "HTTP/1.1"
FLOW = "Flow control"
HTTP2 = "HTTP/2"
WEBSOCKET = "WebSocket"
LOGS = "Logs"
WORKERS = "Workers"
HYPERCORN = "Accepted from Hypercorn, without effect"

_HYPERCORN_ACCESS_FORMAT = '%(h)s %(l)s %(l)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
_WINDOW_BITS: dict[str, Any] = {"low": 9, "high": 15, "unit": "bits"}


class Options(Record, kw_only=True):
    """The options as fields; `tricorn.config.Config` checks them."""

    # fmt: off
    application: str | None = option(Kind.TEXT, APP, None,
        "The application: module:attribute, path/file.py:attribute, or a call such as "
        "module:create_app(\"prod\").", aliases=("application_path",))
    factory: bool = option(Kind.BOOL, APP, False,
        "The application's attribute is a function without arguments that returns it.")
    app_dir: str | None = option(Kind.PATH, APP, None,
        "Directory from which the application is imported; not set: the working directory.")
    interface: str = option(Kind.TEXT, APP, "auto",
        "What the application is written for; auto looks at it without calling it.",
        choices=("auto", "asgi3", "asgi2", "wsgi"))
    mounts: Sequence[dict[str, Any]] = option(Kind.TABLES, APP, (),
        "Applications, files and redirects by host and path; see the how-to on several "
        "applications. As a flag: JSON.")
    wsgi_threads: int = option(Kind.COUNT, APP, 40,
        "Threads that run WSGI applications.", "anyio, Starlette", low=1, flags=("--threads",))
    wsgi_max_body_size: int | None = option(Kind.SIZE, APP, None,
        "Largest request body for WSGI; above it the answer is 413.",
        "the body is streamed, not held")

    bind: Sequence[str] = option(Kind.BINDS, ADDRESSES, ("127.0.0.1:8000",),
        "Addresses to serve: host:port, [ipv6]:port, unix:path, fd://number or systemd:name; with "
        "TLS where TLS is set up. [::] is all of IPv4 too, unless an IPv4 address of that port is "
        "named or the system has it otherwise.", "only this machine until told otherwise",
        flags=("-b",))
    insecure_bind: Sequence[str] = option(Kind.BINDS, ADDRESSES, (),
        "Further addresses, served without TLS.")
    backlog: int = option(Kind.COUNT, ADDRESSES, 2048,
        "Connections the kernel holds until they are accepted.", "Uvicorn, Gunicorn", low=1)
    reuse_port: bool = option(Kind.BOOL, ADDRESSES, False,
        "Each worker has sockets of its own for TCP addresses (SO_REUSEPORT); else they share.")
    umask: int | None = option(Kind.UMASK, ADDRESSES, None,
        "Umask of the process; octal with a leading 0, else decimal.", flags=("-m",))
    unix_socket_mode: int | None = option(Kind.MODE, ADDRESSES, None,
        "File mode of unix sockets; text is read as octal.")
    user: str | int | None = option(Kind.OWNER, ADDRESSES, None,
        "Owner of unix sockets, by name or number; started as root, the workers run as this user.",
        flags=("-u",))
    group: str | int | None = option(Kind.OWNER, ADDRESSES, None,
        "Group of unix sockets, by name or number; started as root, the workers run in it.",
        flags=("-g",))

    certfile: str | None = option(Kind.PATH, TLS, None,
        "Certificate chain of the server, a PEM file; TLS is on with certfile and keyfile.",
        flags=("--ssl-certfile", "--ssl-certificate"))
    keyfile: str | None = option(Kind.PATH, TLS, None, "Private key of certfile, a PEM file.",
        flags=("--ssl-keyfile",))
    keyfile_password: str | None = option(Kind.TEXT, TLS, None,
        "Password of the private key; as a flag all users of the machine can read it.", secret=True,
        flags=("--ssl-keyfile-password",))
    ca_certs: str | None = option(Kind.PATH, TLS, None,
        "Certificates, a PEM file, that client certificates must lead to.",
        flags=("--ssl-ca-certs", "--ssl-ca"))
    dev_certificate: bool = option(Kind.BOOL, TLS, False,
        "Make a certificate for development on first use where none is given.")
    verify_mode: str | None = option(Kind.VERIFY_MODE, TLS, None,
        "Whether clients must show a certificate; a name or number of ssl.VerifyMode.",
        choices=("CERT_NONE", "CERT_OPTIONAL", "CERT_REQUIRED"),
        flags=("--cert-reqs", "--ssl-cert-reqs"), aliases=("cert_reqs",))
    verify_flags: str | None = option(Kind.VERIFY_FLAGS, TLS, None,
        "How client certificates are verified: names of ssl.VerifyFlags separated by commas.")
    ciphers: str = option(Kind.TEXT, TLS, "ECDHE+AESGCM:ECDHE+CHACHA20",
        "Cipher suites for TLS 1.2, as OpenSSL writes them; the client's favourite is taken.",
        "forward secrecy and AEAD; RFC 9113 appendix A forbids the rest to HTTP/2",
        flags=("--ssl-ciphers",))
    certificates: Sequence[dict[str, Any]] = option(Kind.TABLES, TLS, (),
        "Further certificates by server name (SNI): tables of names, certfile, keyfile and "
        "keyfile_password; see the how-to on certificates. As a flag: JSON.",
        hides=("keyfile_password",))
    certificate_watch: float | None = option(Kind.SECONDS, TLS, 10.0,
        "Between two looks at the certificate files: changed ones are loaded without a restart; "
        "none: only at SIGHUP.", "a rotation is in use within seconds")
    alpn_protocols: Sequence[str] = option(Kind.LIST, TLS, ("h2", "http/1.1"),
        "Protocols offered in the TLS handshake (RFC 7301), the preferred one first.",
        choices=("h2", "http/1.1"), commas=True)

    worker_class: str = option(Kind.TEXT, PROCESS, "auto",
        "Event loop; auto is uvloop where it is installed, else asyncio.",
        choices=("auto", "asyncio", "uvloop", "trio"), flags=("-k",))
    pid_path: str | None = option(Kind.PATH, PROCESS, None,
        "File that holds the process id while the server runs.",
        flags=("-p", "--pid", "--pid-file"))
    root_path: str = option(Kind.TEXT, PROCESS, "",
        "Path under which a proxy shows the application: root_path of the ASGI scope.")
    root_path_stripped: bool = option(Kind.BOOL, PROCESS, False,
        "The proxy takes root_path off the path: put it back in front, as Uvicorn does.")
    server_names: Sequence[str] = option(Kind.LIST, PROCESS, (),
        "Host names that are served, with or without a port, *.example.org for all below it; "
        "others get 421; empty: all.", flags=("--server-name",), commas=True)
    lifespan: str = option(Kind.TEXT, PROCESS, "auto",
        "ASGI lifespan: auto goes on where the application does not support it.",
        choices=("auto", "on", "off"))
    include_date_header: bool = option(Kind.BOOL, PROCESS, True,
        "Send the Date field (RFC 9110 section 6.6.1).",
        flags=("--date-header",))
    include_server_header: bool = option(Kind.BOOL, PROCESS, True, "Send the Server field.",
        flags=("--server-header",))
    alt_svc_headers: Sequence[str] = option(Kind.LIST, PROCESS, (),
        "Values of Alt-Svc fields (RFC 7838) to send.")
    debug: bool = option(Kind.BOOL, PROCESS, False,
        "Debug mode of the event loop; applications may send http.response.debug.")

    headers: Sequence[str] = option(Kind.LIST, HTTP, (),
        "Fields added to every response that does not have them, each \"Name: value\".",
        flags=("--header",))
    link_preload: str = option(Kind.TEXT, HTTP, "off",
        "What becomes of Link: rel=preload fields of responses: pushed, sent ahead as 103 Early "
        "Hints, or auto: pushed where the peer takes pushes, else hinted.",
        "few clients gain from it, all pay", choices=("off", "push", "early-hints", "auto"))
    link_preload_max: int = option(Kind.COUNT, HTTP, 16,
        "Most resources pushed or hinted for one response by link_preload.", low=1)
    file_sending: bool = option(Kind.BOOL, HTTP, True,
        "Offer applications http.response.pathsend and http.response.zerocopysend; off for "
        "middlewares that drop messages they do not know.")
    request_id: str = option(Kind.TEXT, HTTP, "off",
        "A request id in scope, access log and response: generate makes one, accept takes the "
        "peer's where it is well-formed.", choices=("off", "generate", "accept"))
    request_id_header: str = option(Kind.TEXT, HTTP, "x-request-id",
        "Field that carries the request id.", "nginx, Envoy, Heroku")
    trace_context: bool = option(Kind.BOOL, HTTP, False,
        "W3C Trace Context in scope, access log and response: traceparent is continued or begun.")
    https_redirect: bool = option(Kind.BOOL, HTTP, False,
        "Answer cleartext requests with 308 to the same URL in https.")
    https_redirect_host: str | None = option(Kind.TEXT, HTTP, None,
        "host or host:port of https_redirect; not set: the request's host with the port of the "
        "first TLS address.")
    hsts_max_age: float | None = option(Kind.SECONDS, HTTP, None,
        "Send Strict-Transport-Security (RFC 6797) over TLS with this max-age.", low=0)
    hsts_include_subdomains: bool = option(Kind.BOOL, HTTP, False,
        "includeSubDomains of Strict-Transport-Security.")
    hsts_preload: bool = option(Kind.BOOL, HTTP, False, "preload of Strict-Transport-Security.")

    startup_timeout: float | None = option(Kind.SECONDS, TIMEOUTS, 60.0,
        "For the application's lifespan startup.", "Hypercorn")
    shutdown_timeout: float | None = option(Kind.SECONDS, TIMEOUTS, 60.0,
        "For the application's lifespan shutdown.", "Hypercorn")
    graceful_timeout: float | None = option(Kind.SECONDS, TIMEOUTS, 30.0,
        "For running exchanges to end once the server is asked to stop.", "Kubernetes", low=0,
        flags=("--timeout-graceful-shutdown",))
    keep_alive_timeout: float | None = option(Kind.SECONDS, TIMEOUTS, 75.0,
        "An idle connection is closed after this time.",
        "load balancers idle at 60 s; a shorter limit makes 502s",
        flags=("--keep-alive", "--timeout-keep-alive"), low=0)
    drain_delay: float = option(Kind.SECONDS, TIMEOUTS, 0.0,
        "Between a stop signal, which ends readiness, and the last accepted connection.",
        "balancers need time to look away", low=0)
    drain_idle_timeout: float = option(Kind.SECONDS, TIMEOUTS, 1.0,
        "An idle connection stays open this long while draining: a request may be on its way.",
        "a close that crosses it would lose it; RFC 9113 6.8 asks for a round trip", low=0)
    response_timeout: float | None = option(Kind.SECONDS, TIMEOUTS, None,
        "For the application to begin its response; above it the answer is 504 and the "
        "application is cancelled.", "long polling is no fault")
    header_timeout: float | None = option(Kind.SECONDS, TIMEOUTS, 10.0,
        "For a request head to be complete, from its first byte.", "h2o")
    read_timeout: float | None = option(Kind.SECONDS, TIMEOUTS, 30.0,
        "Between two pieces of a request body.", "half of nginx's 60 s")
    min_body_rate: float | None = option(Kind.RATE, TIMEOUTS, 240.0,
        "Bytes a second that a request body must come with, behind min_body_rate_grace, while "
        "the application waits for it and has not answered.", "Kestrel", unit="bytes per second")
    min_body_rate_grace: float = option(Kind.SECONDS, TIMEOUTS, 20.0,
        "For a request body to gain speed.", "mobile networks stall for seconds")
    write_timeout: float | None = option(Kind.SECONDS, TIMEOUTS, 30.0,
        "For a response that its peer does not read to move on.", "half of nginx's 60 s")
    ssl_handshake_timeout: float | None = option(Kind.SECONDS, TIMEOUTS, 10.0,
        "For the TLS handshake.", "h2o")
    ssl_shutdown_timeout: float | None = option(Kind.SECONDS, TIMEOUTS, 5.0,
        "For the peer's TLS close after ours.", "a vanished peer must not hold a descriptor")
    close_timeout: float | None = option(Kind.SECONDS, TIMEOUTS, 5.0,
        "For the peer to close behind the last answer, once it has that (RFC 9112 section 9.6).",
        "nginx", low=0)
    disconnect_grace: float | None = option(Kind.SECONDS, TIMEOUTS, 5.0,
        "The application is cancelled this long after its peer has left; none: never.",
        "handlers of peers that left must not pile up", low=0)

    max_connections: int | None = option(Kind.COUNT, LIMITS, None,
        "Open connections of a worker. At the limit the longest idle one is closed; where none "
        "is idle, the new one.", "the system's limit on descriptors counts too", low=1)
    max_connections_per_address: int | None = option(Kind.COUNT, LIMITS, None,
        "Open connections of a worker from one IPv4 address or IPv6 /64 network; trusted_proxies "
        "are not counted.", "offices and carriers share addresses", low=1)
    max_concurrent_requests: int | None = option(Kind.COUNT, LIMITS, None,
        "Requests and WebSockets a worker has with applications; above it the answer is 503.",
        "only the application's author knows it", low=1, flags=("--limit-concurrency",))
    retry_after: float | None = option(Kind.SECONDS, LIMITS, 1.0,
        "Retry-After of 503 answers.", "a short burst is over then", low=0)
    max_request_body_size: int | None = option(Kind.SIZE, LIMITS, None,
        "Largest request body; above it the answer is 413, at once where Content-Length says so.",
        "bodies are streamed, not held", low=0)
    max_request_body_sizes: dict[str, Any] | None = option(
        Kind.TABLE, LIMITS, None,
        "Path prefix, whole segments, to its own max_request_body_size; the longest wins.")
    blocked_loop_warning: float | None = option(Kind.SECONDS, LIMITS, 5.0,
        "Something that holds up the event loop for longer is told in a line, with its stack.",
        "shorter ones are common while modules are imported")

    trusted_proxies: Sequence[str] = option(Kind.LIST, PROXIES, (),
        "Proxies whose word about the client is taken: addresses, networks such as 10.0.0.0/8, "
        "unix for peers of unix sockets, * for all.", "anybody can send the fields",
        flags=("--forwarded-allow-ips",), commas=True)
    forwarded_fields: Sequence[str] = option(Kind.LIST, PROXIES,
        ("x-forwarded-for", "x-forwarded-proto"),
        "Fields that trusted proxies set: X-Forwarded-*, or Forwarded (RFC 7239). Others are not "
        "read.", "a proxy passes the fields that it does not know on from clients",
        choices=("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
                 "x-forwarded-prefix", "forwarded"), commas=True)
    proxy_protocol: Sequence[str] = option(Kind.LIST, PROXIES, (),
        "Addresses of bind and insecure_bind, or all, whose peers begin with the PROXY protocol, "
        "version 1 or 2; they must be trusted_proxies.")

    livez_path: str | None = option(Kind.TEXT, HEALTH, None,
        "Path the server itself answers with 200 as long as it runs.")
    readyz_path: str | None = option(Kind.TEXT, HEALTH, None,
        "Path the server itself answers with 200 while it takes requests and with 503 from the "
        "moment it is asked to stop.")
    metrics_path: str | None = option(Kind.TEXT, HEALTH, None,
        "Path the server itself answers with its counters in Prometheus' text format.")
    health_bind: Sequence[str] = option(Kind.BINDS, HEALTH, (),
        "Addresses, without TLS, where nothing but these paths is answered; those not set are "
        "/livez, /readyz and /metrics there, and no longer on the other addresses.")

    http1_codec: str = option(Kind.TEXT, HTTP1, "auto",
        "Parser of HTTP/1.1; auto is the fastest that is installed. See the page on codecs.",
        choices=("auto", "compiled", "httptools", "h11"))
    h11_max_incomplete_size: int = option(Kind.SIZE, HTTP1, 65536,
        "Largest request head; above it the answer is 431.", "nginx, Envoy", low=1024)
    h11_pass_raw_headers: bool = option(Kind.BOOL, HTTP1, False,
        "Give the application field names in the case they came in.")
    max_request_target_size: int = option(Kind.SIZE, HTTP1, 8192,
        "Longest request target; above it the answer is 414.",
        "nginx; RFC 9112 section 3 asks for 8000", low=64)
    max_header_count: int = option(Kind.COUNT, HTTP1, 100,
        "Most fields of a request, also over HTTP/2; above it the answer is 431.",
        "Envoy, hyper, h2o", low=1)
    keep_alive_max_requests: int | None = option(Kind.COUNT, HTTP1, None,
        "Requests on one connection before it is closed in order.",
        "other limits do the guarding", low=1)
    h2c_upgrade: bool = option(Kind.BOOL, HTTP1, False,
        "Take Upgrade: h2c on cleartext addresses.", "a way to smuggle; RFC 9113 dropped it")
    h2_prior_knowledge: bool = option(Kind.BOOL, HTTP1, True,
        "Take HTTP/2 from its first byte on cleartext addresses (RFC 9113 section 3.3).",
        "gRPC and proxies use it")
    early_hints_http1: bool = option(Kind.BOOL, HTTP1, True,
        "Send 103 Early Hints (RFC 8297) over HTTP/1.1 too; to be off behind nginx before 1.29.")
    max_chunk_overhead: int = option(Kind.SIZE, HTTP1, 16384,
        "Chunk extensions and trailer fields of one request body.", "Go, hyper")

    request_buffer_size: int = option(Kind.SIZE, FLOW, 65536,
        "HTTP/1.1 body held for the application before reading pauses.", "asyncio")
    write_buffer_high: int = option(Kind.SIZE, FLOW, 65536,
        "Output of a connection above which the application's send() waits.", "asyncio")
    write_buffer_low: int = option(Kind.SIZE, FLOW, 16384,
        "Output of a connection below which send() goes on.", "asyncio", low=0)

    http2_codec: str = option(Kind.TEXT, HTTP2, "auto",
        "Framing of HTTP/2; auto is the fastest that is installed.",
        choices=("auto", "nghttp2", "h2"))
    h2_max_concurrent_streams: int = option(Kind.COUNT, HTTP2, 100,
        "Streams a peer may have open; one more is refused.", "RFC 9113 section 6.5.2", low=1,
        flags=("--http2-max-concurrent-streams",))
    h2_max_header_list_size: int = option(Kind.SIZE, HTTP2, 65536,
        "Largest field section, counted as RFC 9113 section 6.5.2 does.", "Hypercorn, h2",
        low=1024, high=2**32 - 1)
    h2_max_inbound_frame_size: int = option(Kind.SIZE, HTTP2, 16384,
        "Largest frame a peer may send.", "RFC 9113 section 6.5.2", low=2**14, high=2**24 - 1)
    h2_stream_window_size: int = option(Kind.SIZE, HTTP2, 262144,
        "Body of one stream held for the application.", "full speed at 20 ms and 100 Mbit/s",
        low=1024, high=2**31 - 1)
    h2_connection_window_size: int = option(Kind.SIZE, HTTP2, 16777216,
        "Bodies of one connection held for the application.",
        "never the bottleneck of parallel uploads", low=65535, high=2**31 - 1)
    h2_server_push: bool = option(Kind.BOOL, HTTP2, True,
        "Offer server push to applications where the peer takes it.")
    h2_max_pushes: int = option(Kind.COUNT, HTTP2, 100, "Pushed streams open at once.")
    h2_priority_closed_streams: int = option(Kind.COUNT, HTTP2, 100,
        "Closed streams kept in the RFC 7540 priority tree.", "bounded work")
    h2_max_resets: int = option(Kind.COUNT, HTTP2, 100,
        "Streams a peer may reset in a burst; above it the connection ends (CVE-2023-44487).",
        "one full set of streams", low=1)
    h2_resets_per_second: float = option(Kind.RATE, HTTP2, 33.0,
        "Resets that are forgiven with time.", "nghttp2", unit="per second")
    h2_max_glitches: int = option(Kind.COUNT, HTTP2, 1000,
        "Frames without use, such as empty DATA or PING, in a burst; above it the connection ends.",
        "Envoy", low=16)
    h2_glitches_per_second: float = option(Kind.RATE, HTTP2, 100.0,
        "Frames without use that are forgiven with time.",
        "nghttp2 forgives 330, at a compiled pace", unit="per second")
    h2_max_continuation_frames: int = option(Kind.COUNT, HTTP2, 8,
        "CONTINUATION frames of one field section (VU#421644).", "nghttp2")
    h2_max_output_control: int = option(Kind.COUNT, HTTP2, 1000,
        "Control frames waiting to be sent; above it reading pauses.", "Envoy", low=1)

    websocket_codec: str = option(Kind.TEXT, WEBSOCKET, "auto",
        "Framing of WebSocket; auto is the fastest that is installed.",
        choices=("auto", "compiled", "wsproto"))
    websocket_max_message_size: int = option(Kind.SIZE, WEBSOCKET, 16 * 2**20,
        "Largest message, after decompression; above it the close code is 1009.",
        "Uvicorn, Hypercorn", flags=("--ws-max-size",))
    websocket_max_frame_size: int = option(Kind.SIZE, WEBSOCKET, 16 * 2**20,
        "Largest frame; above it the close code is 1009.", "one message in one frame", low=125)
    websocket_max_fragments: int = option(Kind.COUNT, WEBSOCKET, 131072,
        "Frames of one message.", "128-byte frames fill the largest message", low=1)
    websocket_max_queue_size: int = option(Kind.SIZE, WEBSOCKET, 262144,
        "Messages held for the application before reading pauses.", "as one HTTP/2 stream")
    websocket_ping_interval: float | None = option(Kind.SECONDS, WEBSOCKET, 20.0,
        "Between two pings.", "Uvicorn; proxies cut idle connections at 60 s",
        flags=("--ws-ping-interval", "--ping-interval"))
    websocket_ping_timeout: float | None = option(Kind.SECONDS, WEBSOCKET, 20.0,
        "For the pong; then the connection ends.", "Uvicorn",
        flags=("--ws-ping-timeout", "--ping-timeout"))
    websocket_close_timeout: float | None = option(Kind.SECONDS, WEBSOCKET, 10.0,
        "For the peer's close frame after ours.", "websockets", low=0)
    websocket_handshake_timeout: float | None = option(Kind.SECONDS, WEBSOCKET, None,
        "For the application to accept or refuse.")
    websocket_compression: bool = option(Kind.BOOL, WEBSOCKET, True,
        "Agree to permessage-deflate (RFC 7692).")
    websocket_compression_min_size: int = option(Kind.SIZE, WEBSOCKET, 64,
        "Messages below this size are sent uncompressed.", "deflate makes them longer", low=0)
    websocket_server_max_window_bits: int = option(Kind.COUNT, WEBSOCKET, 15,
        "Window of our compressor (RFC 7692 section 7.1.2).", "zlib", **_WINDOW_BITS)
    websocket_client_max_window_bits: int = option(Kind.COUNT, WEBSOCKET, 15,
        "Window asked of the peer's compressor.", "zlib", **_WINDOW_BITS)
    websocket_server_context_takeover: bool = option(Kind.BOOL, WEBSOCKET, True,
        "Our compressor keeps its window between messages: smaller output, more memory.")
    websocket_client_context_takeover: bool = option(Kind.BOOL, WEBSOCKET, True,
        "The peer's compressor may keep its window between messages.")

    accesslog: str | None = option(Kind.PATH, LOGS, None,
        "Access log: a file, or - for standard output.", flags=("--access-logfile", "--access-log"))
    errorlog: str | None = option(Kind.PATH, LOGS, "-",
        "Error log: a file, or - for standard error.",
        flags=("--error-logfile", "--error-log", "--log-file"))
    loglevel: str = option(Kind.TEXT, LOGS, "INFO", "Least level of the error log.",
        choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), flags=("--log-level",),
        spellings=(("warn", "WARNING"), ("fatal", "CRITICAL")))
    access_log_format: str = option(Kind.TEXT, LOGS, _HYPERCORN_ACCESS_FORMAT,
        "Line of the access log, with Gunicorn's atoms.", "Hypercorn",
        flags=("--access-logformat",))
    log_format: str = option(Kind.TEXT, LOGS, "text", "Lines of text, or one JSON object each.",
        choices=("text", "json"))
    logconfig: str | None = option(Kind.PATH, LOGS, None,
        "Logging configuration: an ini file; a JSON, TOML or (with PyYAML) YAML file by its "
        "suffix, or json:FILE, toml:FILE.", flags=("--log-config",))
    logconfig_dict: dict[str, Any] | None = option(Kind.TABLE, LOGS, None,
        "Logging configuration as logging.config.dictConfig takes it.", free=True)
    use_colors: bool | None = option(Kind.BOOL, LOGS, None,
        "Colours in the error log; not set: on a terminal.")
    peer_log_interval: float = option(Kind.SECONDS, LOGS, 10.0,
        "Between two lines of one kind about misbehaving peers.",
        "a flood must not fill the disk", low=0)

    workers: int | str = option(Kind.COUNT, WORKERS, 1,
        "Worker processes below a supervisor; auto is one for each processor core; 0 serves in "
        "the process itself.", words=("auto",), high=1024, flags=("-w",))
    max_requests: int | None = option(Kind.COUNT, WORKERS, None,
        "Requests after which a worker is replaced.", low=1, flags=("--limit-max-requests",))
    max_requests_jitter: int = option(Kind.COUNT, WORKERS, 0,
        "Most that is added to max_requests by chance, so that workers go one by one.",
        flags=("--limit-max-requests-jitter",))
    worker_max_memory: int | None = option(Kind.SIZE, WORKERS, None,
        "Resident memory above which a worker is replaced.", low=2**20)
    worker_max_lifetime: float | None = option(Kind.SECONDS, WORKERS, None,
        "Age at which a worker is replaced.", low=1)
    worker_heartbeat_timeout: float | None = option(Kind.SECONDS, WORKERS, 60.0,
        "A worker whose event loop has not turned for so long is dumped and replaced; not while "
        "it starts.", "generous: a slow call must not cost a worker", low=1,
        flags=("--timeout-worker-healthcheck",))
    gc_threshold: int = option(Kind.COUNT, WORKERS, 10_000,
        "Container objects made and not freed before Python's garbage collector looks at the "
        "youngest; set before the application is loaded, which may set its own. 0: Python's own.",
        "with 700 or 2000 the requests of one turn of the loop set it off again and again")
    use_reloader: bool = option(Kind.BOOL, WORKERS, False,
        "Restart when code changes; for development.", flags=("--reload",))
    reload_dirs: Sequence[str] = option(Kind.LIST, WORKERS, (),
        "Directories, and single files, that are watched; empty: app_dir or the working "
        "directory.",
        flags=("--reload-dir",))
    reload_include: Sequence[str] = option(Kind.LIST, WORKERS, ("*.py",),
        "Patterns of files whose changes count.")
    reload_exclude: Sequence[str] = option(Kind.LIST, WORKERS, (),
        "Patterns of files whose changes do not count.")

    daemon: bool = option(Kind.BOOL, HYPERCORN, False, "Run in the background.", flags=("-D",),
        inert="the server stays in the foreground, where a service manager wants it")
    max_app_queue_size: int = option(Kind.COUNT, HYPERCORN, 10,
        "Events that wait for the application.",
        inert="bytes are bounded instead, by request_buffer_size and h2_stream_window_size")
    logger_class: str | None = option(Kind.CLASS, HYPERCORN, None, "Class of the logger.",
        inert="configure the loggers tricorn.error and tricorn.access with logconfig")
    statsd_host: str | None = option(Kind.TEXT, HYPERCORN, None, "StatsD server, host:port.",
        inert="no metrics are sent; they are read at metrics_path")
    statsd_prefix: str = option(Kind.TEXT, HYPERCORN, "", "Prefix of StatsD names.",
        inert="no metrics are sent; they are read at metrics_path")
    dogstatsd_tags: str = option(Kind.TEXT, HYPERCORN, "", "Tags of StatsD metrics.",
        inert="no metrics are sent; they are read at metrics_path")
    quic_bind: Sequence[str] = option(Kind.BINDS, HYPERCORN, (), "UDP addresses for HTTP/3.",
        inert="HTTP/3 is not served")
    # fmt: on
