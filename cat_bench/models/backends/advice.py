"""Advice for errors of a server that cannot be reached or does not speak the protocol."""

from __future__ import annotations

import re
from html import unescape

import aiohttp
from yarl import URL

from cat_bench.errors import LONGEST, one_line

_BY_PROXY = (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError)
_PAGE = re.compile(r"\s*(<!doctype html|<html)", re.IGNORECASE)
_TITLE = re.compile(r"<title[^<>]*>([^<]*)</title>", re.IGNORECASE)
"""No part of it matches `<`, so a search takes linear time."""


def explain_unreached(url: str, problem: Exception, proxy: str | None) -> str:
    """Return why a request to `url`, perhaps through `proxy`, got no answer."""
    text = one_line(problem) or type(problem).__name__
    if isinstance(problem, aiohttp.ClientHttpProxyError):
        text = f"HTTP {problem.status}"  # its text holds the proxy's password
    if proxy and isinstance(problem, _BY_PROXY):
        advice = (
            f"the proxy {URL(proxy).with_user(None)}, which the environment names, does not let it "
            "through: correct HTTP_PROXY or HTTPS_PROXY, or name the server's host in NO_PROXY"
        )
    elif isinstance(problem, aiohttp.ClientConnectorCertificateError):
        advice = "its certificate is not trusted here: set SSL_CERT_FILE to its authority's"
    elif isinstance(problem, aiohttp.ClientSSLError):
        advice = f"there is no TLS there; is it http{url.removeprefix('https')}?"
    elif isinstance(problem, aiohttp.ClientConnectorError | aiohttp.InvalidURL):
        advice = "is it served there, and is --base-url right?"
    else:
        broken = f"{url} closed the connection ({type(problem).__name__}: {text})"
        return f"{broken}; if it never answers: http or https?"
    return f"{url} cannot be reached; {advice} ({text})"


def page(text: str) -> str | None:
    """Return a name for a web page in messages; None for any other text."""
    if not _PAGE.match(text):
        return None
    title = _TITLE.search(text[:LONGEST])
    return f"a web page, {one_line(unescape(title[1]))!r}" if title else "a web page"
