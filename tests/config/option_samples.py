"""One value, other than the default, for every option: in a file, as text, and as stored."""

from __future__ import annotations

from typing import Any, NamedTuple


class Sample(NamedTuple):
    """``text`` is what a flag or variable says; a list is a repeated flag."""

    value: Any
    text: str | list[str]
    stored: Any


def same(value: Any) -> Sample:
    return Sample(value, str(value), value)


def items(*values: str) -> Sample:
    return Sample(list(values), list(values), values)


TRUE = Sample(True, "true", True)
FALSE = Sample(False, "false", False)

SAMPLES: dict[str, Sample] = {
    "application": same("shop.web:app"),
    "factory": TRUE,
    "app_dir": same("/srv/shop"),
    "interface": same("wsgi"),
    "mounts": Sample(
        [{"path": "/static", "directory": "/srv/files"}],
        '[{"path": "/static", "directory": "/srv/files"}]',
        ({"path": "/static", "directory": "/srv/files"},),
    ),
    "wsgi_threads": same(8),
    "bind": items("0.0.0.0:80", "[::1]:81", "unix:/run/shop.sock", "fd://3"),
    "insecure_bind": items(":8080", "localhost"),
    "backlog": same(100),
    "umask": Sample(0o077, "0o077", 0o077),
    "unix_socket_mode": Sample("660", "0660", 0o660),
    "user": same("www-data"),
    "group": Sample(33, "33", 33),
    "certfile": same("cert.pem"),
    "keyfile": same("key.pem"),
    "keyfile_password": same("none"),
    "ca_certs": same("ca.pem"),
    "dev_certificate": TRUE,
    "verify_mode": Sample("CERT_REQUIRED", "2", "CERT_REQUIRED"),
    "verify_flags": Sample(
        "VERIFY_X509_STRICT,VERIFY_CRL_CHECK_LEAF",
        "verify_x509_strict|VERIFY_CRL_CHECK_LEAF",
        "VERIFY_X509_STRICT,VERIFY_CRL_CHECK_LEAF",
    ),
    "ciphers": same("ECDHE+AESGCM"),
    "alpn_protocols": items("http/1.1"),
    "worker_class": Sample("trio", "TRIO", "trio"),
    "pid_path": same("/run/shop.pid"),
    "root_path": same("/shop"),
    "root_path_stripped": TRUE,
    "server_names": items("shop.example", "www.shop.example:8443"),
    "lifespan": same("off"),
    "include_date_header": FALSE,
    "include_server_header": FALSE,
    "alt_svc_headers": items('h3=":443"; ma=3600'),
    "debug": TRUE,
    "headers": items("x-served-by: tricorn"),
    "link_preload": same("auto"),
    "link_preload_max": same(4),
    "request_id": same("accept"),
    "request_id_header": same("x-correlation-id"),
    "trace_context": TRUE,
    "https_redirect": TRUE,
    "https_redirect_host": same("shop.example"),
    "hsts_max_age": Sample("365d", "365d", 31_536_000.0),
    "hsts_include_subdomains": TRUE,
    "hsts_preload": TRUE,
    "startup_timeout": Sample("2m", "2m", 120.0),
    "shutdown_timeout": Sample(5, "5", 5.0),
    "graceful_timeout": Sample(0, "0", 0.0),
    "keep_alive_timeout": Sample("none", "none", None),
    "header_timeout": Sample("500ms", "500ms", 0.5),
    "read_timeout": Sample(1.5, "1.5", 1.5),
    "write_timeout": Sample("1h30m", "1h 30m", 5400.0),
    "ssl_handshake_timeout": Sample(60, "60s", 60.0),
    "ssl_shutdown_timeout": Sample("10s", "10s", 10.0),
    "close_timeout": Sample(1, "1", 1.0),
    "disconnect_grace": Sample("None", "NONE", None),
    "h11_max_incomplete_size": Sample("16KiB", "16kib", 16384),
    "h11_pass_raw_headers": TRUE,
    "max_request_target_size": same(4096),
    "max_header_count": same(50),
    "keep_alive_max_requests": same(1000),
    "h2c_upgrade": TRUE,
    "h2_prior_knowledge": FALSE,
    "early_hints_http1": FALSE,
    "max_chunk_overhead": same(1024),
    "request_buffer_size": Sample("1MB", "1MB", 1_000_000),
    "write_buffer_high": Sample("1MiB", "1.0 MiB", 1_048_576),
    "write_buffer_low": same(1),
    "h2_max_concurrent_streams": same(250),
    "h2_max_header_list_size": same(8192),
    "h2_max_inbound_frame_size": same(2**24 - 1),
    "h2_stream_window_size": Sample("1MiB", "1MiB", 2**20),
    "h2_connection_window_size": same(65535),
    "h2_server_push": FALSE,
    "h2_max_pushes": same(0),
    "h2_priority_closed_streams": same(10),
    "h2_max_resets": same(200),
    "h2_resets_per_second": Sample(50, "50", 50.0),
    "h2_max_glitches": same(10_000),
    "h2_glitches_per_second": Sample(0.5, "0.5", 0.5),
    "h2_max_continuation_frames": same(5),
    "h2_max_output_control": same(500),
    "websocket_max_message_size": Sample("1GiB", "1GiB", 2**30),
    "websocket_max_frame_size": same(125),
    "websocket_max_fragments": same(1),
    "websocket_max_queue_size": same(1),
    "websocket_ping_interval": Sample(50, "50", 50.0),
    "websocket_ping_timeout": Sample("none", "none", None),
    "websocket_close_timeout": Sample(0, "0", 0.0),
    "websocket_handshake_timeout": Sample(5, "5", 5.0),
    "websocket_compression": FALSE,
    "websocket_compression_min_size": same(0),
    "websocket_server_max_window_bits": same(9),
    "websocket_client_max_window_bits": same(12),
    "websocket_server_context_takeover": FALSE,
    "websocket_client_context_takeover": FALSE,
    "accesslog": same("-"),
    "errorlog": Sample("none", "none", None),
    "loglevel": Sample("debug", "Debug", "DEBUG"),
    "access_log_format": same('%(h)s "%(r)s" %(s)s'),
    "log_format": same("json"),
    "logconfig": same("json:logging.json"),
    "logconfig_dict": Sample({"version": 1}, '{"version": 1}', {"version": 1}),
    "use_colors": FALSE,
    "peer_log_interval": Sample("1m", "1m", 60.0),
    "workers": same(4),
    "use_reloader": TRUE,
    "daemon": TRUE,
    "max_requests": same(1000),
    "max_requests_jitter": same(100),
    "max_app_queue_size": same(20),
    "wsgi_max_body_size": same(1024),
    "logger_class": same("shop.logs.Logger"),
    "statsd_host": same("localhost:8125"),
    "statsd_prefix": same("shop"),
    "dogstatsd_tags": same("env:prod"),
    "quic_bind": items("127.0.0.1:4433"),
}

# Options that are refused alone, and what has to stand beside them.
COMPANIONS = {"certfile": "keyfile", "keyfile": "certfile"}
