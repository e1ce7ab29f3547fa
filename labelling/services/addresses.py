"""Addresses that people enter and the worker connects to: none may lead into the machine's own network."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from labelling.services import Refused

PORTS = {"http": 80, "https": 443}
# Gateways that pass IPv6 packets on to the IPv4 address in their last four bytes (RFC 6052, RFC 8215).
TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def check(address: str) -> None:
    """Make sure that an address may be posted to, as far as its name leads now.

    Raises:
        Refused: when it is none of http or https, can't be sent as it is, carries a password, or see ``resolve``.
    """
    if not address.isascii() or not address.isprintable() or " " in address:
        raise Refused(_("An address has no spaces, and letters beyond a to z are encoded in it."))
    try:
        parts = urlsplit(address)
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError as error:
        raise Refused(_("This is no address.")) from error
    if port is None or not parts.hostname:
        raise Refused(_("An address begins with https:// or http://, and names a server."))
    if parts.username is not None or parts.password is not None:
        raise Refused(_("An address must hold no password: the signature tells who sends."))
    resolve(parts.hostname, port)


def resolve(host: str, port: int) -> list[str]:
    """Look a name up, once: return its IP addresses, to connect to one of them and not to the name.

    Raises:
        Refused: when it leads nowhere, or one of them is in the machine's own network and WEBHOOKS_INSIDE is off.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Refused(_("The server %(host)s can't be found.") % {"host": host}) from error
    ips = list(dict.fromkeys(str(place[0]) for *_kind, place in found))
    if not settings.WEBHOOKS_INSIDE and not all(is_public(ip) for ip in ips):
        raise Refused(
            _("%(host)s is in the server's own network. An administrator can allow that: WEBHOOKS_INSIDE.")
            % {"host": host}
        )
    return ips


def is_public(ip: str) -> bool:
    """Whether an IP address, and each that is wrapped in it, can be reached from everywhere."""
    return all(one.is_global and not one.is_multicast for one in _unwrapped(ipaddress.ip_address(ip)))


def _unwrapped(ip: Ip) -> Iterator[Ip]:
    """What packets to an address reach in the end."""
    if isinstance(ip, ipaddress.IPv4Address):
        yield ip
    elif ip.ipv4_mapped:
        yield ip.ipv4_mapped
    else:
        yield ip
        inner = [ip.sixtofour, *(ip.teredo or ())]
        if any(ip in network for network in TRANSLATED):
            inner.append(ipaddress.IPv4Address(ip.packed[-4:]))
        yield from filter(None, inner)
