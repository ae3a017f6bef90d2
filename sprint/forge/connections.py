"""What carries requests to a forge: urllib3, by the proxy and the certificates that the environment names.

Importing requests would be a third of what a tick costs that finds nothing to do: it is asked only about
proxies, and only where one is set.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import urllib3
import urllib3.exceptions

CONNECT_SECONDS = 10.0
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def pool_for(url: str) -> urllib3.PoolManager:
    """What connects to the host of `url`. Raises urllib3's HTTPError where its proxy cannot be used."""
    tls = _trust() if url.startswith("https:") else {}
    if not any(os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES):
        return urllib3.PoolManager(**tls)
    from requests.adapters import HTTPAdapter
    from requests.utils import get_environ_proxies, select_proxy

    proxy = select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return urllib3.PoolManager(**tls)
    try:
        made = HTTPAdapter().proxy_manager_for(proxy if "://" in proxy else f"http://{proxy}", **tls)
    except ValueError as error:  # no address, or SOCKS without what it needs
        raise urllib3.exceptions.ProxyError("the proxy's address cannot be used", error) from error
    assert isinstance(made, urllib3.PoolManager)
    return made


def send(
    pool: urllib3.PoolManager,
    method: str,
    url: str,
    headers: Mapping[str, str],
    *,
    body: bytes | None = None,
    timeout: float,
) -> urllib3.BaseHTTPResponse:
    """The answer, its body yet to be read; no redirect is followed, nothing repeated, no cookie kept.

    `timeout`: seconds to wait for the server's next byte. Raises urllib3's HTTPError.
    """
    return pool.request(
        method,
        url,
        body=body,
        headers={"Accept-Encoding": "gzip, deflate", **headers},
        timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, timeout), read=timeout),
        redirect=False,
        retries=False,
        preload_content=False,
    )


def _trust() -> dict[str, Any]:
    """The certificates that count, by the variables that requests reads, else those that it brings."""
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    if not named:
        import certifi

        named = certifi.where()
    return {"cert_reqs": "CERT_REQUIRED", "ca_cert_dir" if Path(named).is_dir() else "ca_certs": named}
