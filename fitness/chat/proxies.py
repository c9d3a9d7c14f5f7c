"""What the environment says about the way to an endpoint: proxies, and the certificates that are believed.

The HTTP library would read the same variables, but what it cannot use ends in exceptions that name no variable, even where the
variable is about other addresses. So it is told what to use, and reads nothing itself.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from urllib.request import getproxies

from fitness.chat.errors import ErrorKind, LLMError
from fitness.costs import on_this_machine

SCHEMES = ("http", "https", "socks5", "socks5h")
SOCKS = "pip install httpx[socks]"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy on the way to an endpoint."""

    variable: str
    """As it is spelled in the environment."""
    url: str = field(repr=False)  # it may hold a password

    @property
    def place(self) -> str:
        """Its address without name and password; empty where it has none."""
        try:
            parts = urlsplit(self.url)
            host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
            return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "") if host else ""
        except ValueError:
            return ""

    def __str__(self) -> str:
        return f"the proxy in {self.variable} ({self.place})" if self.place else f"the proxy in {self.variable}"


def is_address(url: str) -> bool:
    """Whether an HTTP library can make something of it: it has a host by a name or numbers that a host can have."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
        if re.fullmatch(r"[\d.]+", host):
            ipaddress.ip_address(host)
    except ValueError:  # of which an encoding that fails is one
        return False
    return bool(host) and " " not in host and port != 0 and url.isprintable()


def proxy_for(base_url: str, environ: Mapping[str, str] | None = None) -> Proxy | None:
    """The proxy that the environment sets for an address; None for this machine's own, and for what NO_PROXY excepts.

    A variable in small letters goes before the same in capitals, the one of the address's scheme before ALL_PROXY. Where the
    environment has none, the system's settings count on macOS and Windows.
    """
    if on_this_machine(base_url):
        return None
    environ = os.environ if environ is None else environ
    parts = urlsplit(base_url)
    host = (parts.hostname or "").lower()
    port = parts.port or (443 if parts.scheme == "https" else 80)
    excepted = _variable("no_proxy", environ)
    if excepted and any(_excepts(entry, host, port) for entry in re.split(r"[\s,;]+", environ[excepted])):
        return None
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        if variable := _variable(name, environ):
            url = environ[variable].strip()
            return Proxy(variable, url if "://" in url else f"http://{url}")
    if environ is not os.environ or any(name.lower().endswith("_proxy") for name in environ):
        return None
    system = getproxies().get(parts.scheme, "")
    return Proxy("the system's settings", system) if "://" in system else None


def check_proxy(proxy: Proxy) -> None:
    """Raises LLMError (CONFIGURATION) where a proxy cannot be used."""

    def unusable(remedy: str) -> LLMError:
        return LLMError(ErrorKind.CONFIGURATION, f"{proxy} cannot be used", f"unset {proxy.variable}, or {remedy}")

    if not is_address(proxy.url):
        raise unusable("write it like http://proxy:3128")
    parts = urlsplit(proxy.url)
    missing = importlib.util.find_spec("socksio") is None
    if parts.scheme not in SCHEMES:
        socks = parts.scheme.startswith("socks")
        install = f" and {SOCKS}" if missing else ""
        like = proxy.place.replace(f"{parts.scheme}://", "socks5://" if socks else "http://", 1)
        raise unusable(f"write it as {like}{install if socks else ''}; {parts.scheme}:// is not known here")
    if parts.scheme.startswith("socks") and missing:
        raise unusable(SOCKS)


def certificates(environ: Mapping[str, str] | None = None) -> ssl.SSLContext | None:
    """What SSL_CERT_FILE or SSL_CERT_DIR say is believed; None where neither is set.

    Raises LLMError (CONFIGURATION), which names the variable, where what it names is not there or holds no certificates.
    """
    environ = os.environ if environ is None else environ
    for variable, there, what in (
        ("SSL_CERT_FILE", os.path.isfile, "a file of certificates"),
        ("SSL_CERT_DIR", _any_folder, "a folder of certificates"),
    ):
        path = environ.get(variable)
        if not path:
            continue
        remedy = f"unset {variable}, or set it to {what} (python -m certifi shows a file)"
        if not there(path):
            raise LLMError(ErrorKind.CONFIGURATION, f"{variable} names {path!r}, where there is not {what}", remedy)
        try:
            file, folder = (path, None) if variable == "SSL_CERT_FILE" else (None, path)
            return ssl.create_default_context(cafile=file, capath=folder)
        except (OSError, ValueError):  # ssl.SSLError is an OSError
            message = f"{variable} names {path!r}, which cannot be read as {what}"
            raise LLMError(ErrorKind.CONFIGURATION, message, remedy) from None
    return None


def _any_folder(paths: str) -> bool:
    """Whether one of the folders is there; OpenSSL takes several, separated as in PATH."""
    return any(os.path.isdir(path) for path in paths.split(os.pathsep))


def _variable(name: str, environ: Mapping[str, str]) -> str | None:
    """How a variable that is set is spelled; an empty one in small letters turns off the one in capitals."""
    spelled = name if name in environ else name.upper()
    return spelled if environ.get(spelled, "").strip() else None


def _excepts(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY means this host: *, a name and all below it, an address, a network, any with a port.

    Also as it is written by mistake: as a whole address, in quotation marks, with * for a part.
    """
    entry = entry.lower().strip("'\"").rpartition("://")[2]
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    entry = entry.partition("/")[0]
    name, colon, digits = entry.rpartition(":")
    if colon and digits.isdigit():
        if int(digits) != port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*").strip(".")
    if "*" in entry:
        return re.fullmatch(re.escape(entry).replace(r"\*", ".*"), host) is not None
    return bool(entry) and (host == entry or host.endswith(f".{entry}"))
