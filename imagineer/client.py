"""Who is at the other end of a request: the one place that reads forwarded addresses."""

import ipaddress

from django.conf import settings
from django.http import HttpRequest

UNKNOWN = "unknown"  # a socket that has no address, such as a Unix one without a proxy's word
IPV6_PREFIX = 64  # bits; whoever has one such address has all that begin with them


def client_address(request: HttpRequest) -> str:
    """The address of the client, in its shortest form.

    Each proxy adds at the right end of X-Forwarded-For the address that it was asked from. With n proxies of ours in
    front, the n-th entry from the right is therefore the last one that nobody else can have written; with none, the
    header is the client's own invention. A header that is too short or no address has not come through our proxies,
    so the connection itself counts.
    """
    direct = _normalise(request.META.get("REMOTE_ADDR", "")) or UNKNOWN
    if not settings.TRUSTED_PROXIES:
        return direct
    entries = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    if len(entries) < settings.TRUSTED_PROXIES:
        return direct
    return _normalise(entries[-settings.TRUSTED_PROXIES]) or direct


def client_network(request: HttpRequest) -> str:
    """What limits are counted by: the address, and of IPv6 the network that one subscriber is given."""
    address = client_address(request)
    if ":" not in address:
        return address
    return str(ipaddress.IPv6Network((address, IPV6_PREFIX), strict=False))


def _normalise(text: str) -> str | None:
    """``203.0.113.7``, ``203.0.113.7:5060``, ``2001:db8::7``, ``[2001:db8::7]:5060`` as an address, or None."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)
