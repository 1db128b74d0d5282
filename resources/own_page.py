"""Restricts a web application to the pages that it serves itself: no other page in the user's browser may use it.

The application has no login, so everyone who reaches it may do everything. A browser lets any page send requests to it
from the machine that it trusts. So a request is accepted only if Host, Origin and Sec-Fetch-Site say that it comes from
the application's own address, and a request that may change something only as JSON, which a browser lets no foreign
page send without asking the application first. Programs other than browsers send no Origin, and need none.
"""

from collections.abc import Iterable
from urllib.parse import parse_qs

from graphql import GraphQLSyntaxError, OperationDefinitionNode, OperationType, parse
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_READING = ("GET", "HEAD")


def own_hosts(port: int) -> frozenset[str]:
    """The `Host` headers that a browser on this machine sends to an application on one of its ports."""
    names = ("127.0.0.1", "localhost", "[::1]")
    # A browser leaves out the default port.
    return frozenset(f"{name}:{port}" for name in names) | frozenset(names if port == 80 else ())


class OwnPageOnly:
    """ASGI middleware that refuses requests, also for WebSockets, that do not come from the application's own pages."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        """Take the application, and every `Host` that a request may name, with the port."""
        self._app = app
        self._hosts = frozenset(hosts)
        self._origins = frozenset(f"http://{host}" for host in self._hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it with a reason."""
        refused = None if scope["type"] == "lifespan" else self._refused(scope)
        if refused is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Closed before it is accepted, so that the server answers the handshake with status 403.
            await send({"type": "websocket.close", "code": 1008, "reason": refused})
        else:
            await PlainTextResponse(f"{refused}\n", status_code=403)(scope, receive, send)

    def _refused(self, scope: Scope) -> str | None:
        """Why a request is refused, or None if it is not."""
        headers = Headers(scope=scope)
        if len(hosts := headers.getlist("host")) != 1 or hosts[0].lower() not in self._hosts:
            return f"only requests to {' or '.join(sorted(self._hosts))} are answered, not to {', '.join(hosts)}"
        if not set(headers.getlist("origin")) <= self._origins:
            return "requests from other pages are refused"
        if not set(headers.getlist("sec-fetch-site")) <= {"same-origin", "none"}:
            return f"links and requests from other pages are refused; type http://{hosts[0]} into the address bar"
        if scope["type"] == "websocket":
            return None
        return _unsafe(scope["method"], headers, scope["query_string"])


def _unsafe(method: str, headers: Headers, query_string: bytes) -> str | None:
    """Why a request that might change something is refused: it is not plain JSON. None if it is fine."""
    if method in _READING:
        queries = parse_qs(query_string.decode("latin-1")).get("query", [])
        return "a mutation must be a POST of JSON" if any(map(_changes_something, queries)) else None
    types = {value.partition(";")[0].strip().lower() for value in headers.getlist("content-type")}
    # The media type itself counts: any page may send `text/plain; application/json`.
    return None if types == {"application/json"} else f"a {method} must have the Content-Type application/json"


def _changes_something(document: str) -> bool:
    """Whether any operation in a GraphQL document is a mutation, no matter which one is to run."""
    try:
        definitions = parse(document).definitions
    except GraphQLSyntaxError:
        # Such a document cannot be executed.
        return False
    return any(
        isinstance(node, OperationDefinitionNode) and node.operation is OperationType.MUTATION for node in definitions
    )
