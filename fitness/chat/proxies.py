"""Proxies and trusted certificates for the connection to an endpoint, from environment variables.

The HTTP library would read the same variables itself. But for an unusable value it raises exceptions that do not name the
variable, even if the variable concerns other addresses. So the variables are read here, and the library gets the result.
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

from fitness.chat.costs import on_this_machine
from fitness.chat.errors import ErrorKind, LLMError

SCHEMES = ("http", "https", "socks5", "socks5h")
SOCKS = "pip install httpx[socks]"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy for the connection to an endpoint."""

    variable: str
    """Name of its environment variable, in the spelling that was found."""
    url: str = field(repr=False)  # it may hold a password

    @property
    def place(self) -> str:
        """Its address without user name and password; "" if it has no valid address."""
        try:
            parts = urlsplit(self.url)
            host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
            return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "") if host else ""
        except ValueError:
            return ""

    def __str__(self) -> str:
        return f"the proxy in {self.variable} ({self.place})" if self.place else f"the proxy in {self.variable}"


def is_address(url: str) -> bool:
    """Whether an HTTP library accepts the URL: it has a valid host name or IP address, and a valid port."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
        if re.fullmatch(r"[\d.]+", host):
            ipaddress.ip_address(host)
    except ValueError:  # also a UnicodeError of the idna encoding
        return False
    return bool(host) and " " not in host and port != 0 and url.isprintable()


def proxy_for(base_url: str, environ: Mapping[str, str] | None = None) -> Proxy | None:
    """The proxy that the environment sets for an address; None for this machine, and for hosts that NO_PROXY excludes.

    A lower-case variable takes precedence over the same in upper case, and the variable of the address's scheme over ALL_PROXY.
    Without any variable, the system's settings apply on macOS and Windows.
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
    """Raises LLMError (CONFIGURATION) if the proxy cannot be used."""

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
    """The trusted certificates from SSL_CERT_FILE or SSL_CERT_DIR; None if neither is set.

    Raises LLMError (CONFIGURATION) that names the variable if its path does not exist or holds no certificates.
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
            raise LLMError(ErrorKind.CONFIGURATION, f"{variable} names {path!r}, which is not {what}", remedy)
        try:
            file, folder = (path, None) if variable == "SSL_CERT_FILE" else (None, path)
            return ssl.create_default_context(cafile=file, capath=folder)
        except (OSError, ValueError):  # ssl.SSLError is an OSError
            message = f"{variable} names {path!r}, which cannot be read as {what}"
            raise LLMError(ErrorKind.CONFIGURATION, message, remedy) from None
    return None


def _any_folder(paths: str) -> bool:
    """Whether one of the folders exists; OpenSSL accepts several, separated as in PATH."""
    return any(os.path.isdir(path) for path in paths.split(os.pathsep))


def _variable(name: str, environ: Mapping[str, str]) -> str | None:
    """The spelling of a variable that is set, else None; an empty lower-case variable disables the upper-case one."""
    spelled = name if name in environ else name.upper()
    return spelled if environ.get(spelled, "").strip() else None


def _excepts(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY matches the host: *, a domain and its subdomains, an IP address, a network; each with a port.

    Common mistakes are accepted too: a whole URL, quotation marks, * inside a name.
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
