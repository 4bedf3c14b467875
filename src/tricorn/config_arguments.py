"""What `Config` takes, for type checkers: made by ``python -m tricorn.config_docs arguments``.

Times and sizes may be text, paths may be `pathlib`'s; the fields of `Config` have the stored form.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypedDict


class Arguments(TypedDict, total=False):
    """The options as keyword arguments."""

    application: str | None
    factory: bool
    app_dir: str | os.PathLike[str] | None
    interface: str
    mounts: Sequence[dict[str, Any]]
    wsgi_threads: int
    wsgi_max_body_size: int | str | None
    bind: Sequence[str]
    insecure_bind: Sequence[str]
    backlog: int
    reuse_port: bool
    umask: int | str | None
    unix_socket_mode: int | str | None
    user: int | str | None
    group: int | str | None
    certfile: str | os.PathLike[str] | None
    keyfile: str | os.PathLike[str] | None
    keyfile_password: str | None
    ca_certs: str | os.PathLike[str] | None
    dev_certificate: bool
    verify_mode: int | str | None
    verify_flags: int | str | None
    ciphers: str
    certificates: Sequence[dict[str, Any]]
    certificate_watch: float | str | None
    alpn_protocols: Sequence[str]
    worker_class: str
    pid_path: str | os.PathLike[str] | None
    root_path: str
    root_path_stripped: bool
    server_names: Sequence[str]
    lifespan: str
    include_date_header: bool
    include_server_header: bool
    alt_svc_headers: Sequence[str]
    debug: bool
    headers: Sequence[str]
    link_preload: str
    link_preload_max: int
    file_sending: bool
    request_id: str
    request_id_header: str
    trace_context: bool
    https_redirect: bool
    https_redirect_host: str | None
    hsts_max_age: float | str | None
    hsts_include_subdomains: bool
    hsts_preload: bool
    startup_timeout: float | str | None
    shutdown_timeout: float | str | None
    graceful_timeout: float | str | None
    keep_alive_timeout: float | str | None
    drain_delay: float | str
    drain_idle_timeout: float | str
    response_timeout: float | str | None
    header_timeout: float | str | None
    read_timeout: float | str | None
    min_body_rate: float | None
    min_body_rate_grace: float | str
    write_timeout: float | str | None
    ssl_handshake_timeout: float | str | None
    ssl_shutdown_timeout: float | str | None
    close_timeout: float | str | None
    disconnect_grace: float | str | None
    max_connections: int | None
    max_connections_per_address: int | None
    max_concurrent_requests: int | None
    retry_after: float | str | None
    max_request_body_size: int | str | None
    max_request_body_sizes: dict[str, Any] | None
    blocked_loop_warning: float | str | None
    trusted_proxies: Sequence[str]
    forwarded_fields: Sequence[str]
    proxy_protocol: Sequence[str]
    livez_path: str | None
    readyz_path: str | None
    metrics_path: str | None
    health_bind: Sequence[str]
    http1_codec: str
    h11_max_incomplete_size: int | str
    h11_pass_raw_headers: bool
    max_request_target_size: int | str
    max_header_count: int
    keep_alive_max_requests: int | None
    h2c_upgrade: bool
    h2_prior_knowledge: bool
    early_hints_http1: bool
    max_chunk_overhead: int | str
    request_buffer_size: int | str
    write_buffer_high: int | str
    write_buffer_low: int | str
    http2_codec: str
    h2_max_concurrent_streams: int
    h2_max_header_list_size: int | str
    h2_max_inbound_frame_size: int | str
    h2_stream_window_size: int | str
    h2_connection_window_size: int | str
    h2_server_push: bool
    h2_max_pushes: int
    h2_priority_closed_streams: int
    h2_max_resets: int
    h2_resets_per_second: float
    h2_max_glitches: int
    h2_glitches_per_second: float
    h2_max_continuation_frames: int
    h2_max_output_control: int
    websocket_codec: str
    websocket_max_message_size: int | str
    websocket_max_frame_size: int | str
    websocket_max_fragments: int
    websocket_max_queue_size: int | str
    websocket_ping_interval: float | str | None
    websocket_ping_timeout: float | str | None
    websocket_close_timeout: float | str | None
    websocket_handshake_timeout: float | str | None
    websocket_compression: bool
    websocket_compression_min_size: int | str
    websocket_server_max_window_bits: int
    websocket_client_max_window_bits: int
    websocket_server_context_takeover: bool
    websocket_client_context_takeover: bool
    accesslog: str | os.PathLike[str] | None
    errorlog: str | os.PathLike[str] | None
    loglevel: str
    access_log_format: str
    log_format: str
    logconfig: str | os.PathLike[str] | None
    logconfig_dict: dict[str, Any] | None
    use_colors: bool | None
    peer_log_interval: float | str
    workers: int | str
    max_requests: int | None
    max_requests_jitter: int
    worker_max_memory: int | str | None
    worker_max_lifetime: float | str | None
    worker_heartbeat_timeout: float | str | None
    gc_threshold: int
    use_reloader: bool
    reload_dirs: Sequence[str]
    reload_include: Sequence[str]
    reload_exclude: Sequence[str]
    daemon: bool
    max_app_queue_size: int
    logger_class: str | type | None
    statsd_host: str | None
    statsd_prefix: str
    dogstatsd_tags: str
    quic_bind: Sequence[str]
