"""Who may speak for clients: ``trusted_proxies`` and the options that lean on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tricorn.config_binds import Bind, parse_bind
from tricorn.exceptions import ConfigError
from tricorn.records import replace

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    import ipaddress
    from typing import TypeAlias

    from tricorn.config import Config

Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"

#: Every address of ``bind`` and ``insecure_bind``, in ``proxy_protocol``.
ALL = "all"
FORWARDED = "forwarded"
#: Fields whose word ``Forwarded`` has too: one of the two is the proxy's, the other a client's.
_SAME_AS_FORWARDED = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host")


def parse_address(text: str) -> Address:
    """An IP address; a mapped one (::ffff:192.0.2.1) is IPv4, a zone is left out.

    :raises ValueError: if it is none.
    """
    import ipaddress  # not above: few processes need it

    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class TrustedProxies:
    """The peers whose word about the client is taken.

    :param texts: addresses, networks, ``unix`` (peers of unix sockets) and ``*`` (everybody).
    :raises ConfigError: for a text that is none of them.
    """

    __slots__ = ("_addresses", "_networks", "everybody", "unix")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.everybody = False
        self.unix = False
        addresses: set[Address] = set()
        networks: list[Network] = []
        for text in texts:
            if text == "*":
                self.everybody = True
            elif text == "unix":
                self.unix = True
            elif "/" in text:
                networks.append(_network(text))
            else:
                addresses.add(_address(text))
        self._addresses = frozenset(addresses)
        self._networks = tuple(networks)

    def __bool__(self) -> bool:
        return self.everybody or self.unix or self.some_over_ip

    @property
    def some_over_ip(self) -> bool:
        """Whether anybody is trusted who comes over IP."""
        return self.everybody or bool(self._addresses or self._networks)

    @property
    def some_over_unix(self) -> bool:
        """Whether peers of unix sockets are trusted."""
        return self.everybody or self.unix

    def trusts(self, address: Address) -> bool:
        """Whether an IP address is one of them."""
        if self.everybody or address in self._addresses:
            return True
        return any(address in network for network in self._networks)

    def trusts_peer(self, client: tuple[str, int] | None) -> bool:
        """Whether the peer of a socket is one of them; None is the peer of a unix socket."""
        if client is None:
            return self.some_over_unix
        try:
            return self.trusts(parse_address(client[0]))
        except ValueError:
            return self.everybody


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError:
        hint = "; did you mean 127.0.0.1 and ::1?" if text == "localhost" else ""
        hint = hint or ("; one item each" if "," in text else "")
        raise ConfigError(
            "trusted_proxies: expected an address, a network such as 10.0.0.0/8, unix or *, "
            f"got {text!r}{hint}"
        ) from None


def _network(text: str) -> Network:
    import ipaddress

    try:
        return ipaddress.ip_network(text)
    except ValueError:
        try:
            near = f"; did you mean {ipaddress.ip_network(text, strict=False)}?"
        except ValueError:
            near = ""
        raise ConfigError(
            f"trusted_proxies: expected a network such as 10.0.0.0/8, got {text!r}{near}"
        ) from None


def compared(bind: Bind) -> Bind:
    """An address in the form in which two are compared."""
    return replace(bind, host=bind.host.lower())


def _named(text: str) -> Bind:
    return compared(parse_bind(text))


def proxy_protocol_binds(config: Config) -> frozenset[Bind]:
    """The addresses, as `compared`, whose peers begin with a PROXY header."""
    named = config.proxy_protocol
    if ALL in named:
        named = (*config.bind, *config.insecure_bind)
    return frozenset(map(_named, named))


def proxy_faults(config: Config) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What is wrong with the options behind a proxy: each a line and its options."""
    try:
        trusted = TrustedProxies(config.trusted_proxies)
    except ConfigError as exc:
        yield str(exc), ("trusted_proxies",)
        return
    both = [name for name in _SAME_AS_FORWARDED if name in config.forwarded_fields]
    if both and FORWARDED in config.forwarded_fields:
        line = f"forwarded_fields: {both[0]} and forwarded: a proxy that sets one passes the other"
        yield f"{line} on from clients", ("forwarded_fields",)
    if config.proxy_protocol:
        yield from _proxy_protocol_faults(config, trusted)


def _proxy_protocol_faults(
    config: Config, trusted: TrustedProxies
) -> Iterator[tuple[str, tuple[str, ...]]]:
    names = "proxy_protocol", "trusted_proxies"
    if not trusted:
        yield "proxy_protocol needs trusted_proxies: who may speak for clients", names
        return
    served = {_named(text): text for text in (*config.bind, *config.insecure_bind)}
    for text in config.proxy_protocol:
        if text == ALL:
            continue
        try:
            known = _named(text) in served
        except ConfigError:
            known = False
        if not known:
            line = (
                f"proxy_protocol: expected all or addresses of bind and insecure_bind, got {text!r}"
            )
            yield line, ("proxy_protocol",)
            return
    begun = proxy_protocol_binds(config)
    for bind, text in served.items():
        if bind not in begun:
            continue
        if bind.kind == "unix" and not trusted.some_over_unix:
            yield f"proxy_protocol: nobody at {text} is trusted: add unix to trusted_proxies", names
        elif bind.kind == "tcp" and not trusted.some_over_ip:
            yield (
                f"proxy_protocol: nobody at {text} is trusted: trusted_proxies has no address",
                names,
            )
