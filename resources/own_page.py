"""Keeps a web application for the pages that it serves itself: no other page of the user's browser may use it.

The application has no login; whoever reaches it may do everything. A browser lets any page send requests to it, with
the user on the machine that the application trusts. So a request counts only where Host, Origin and Sec-Fetch-Site say
that it comes from the application's own address, and what may change something only as JSON, which a browser lets no
foreign page send without asking. Programs other than browsers send no Origin, and need none.
"""

from collections.abc import Iterable
from urllib.parse import parse_qs

from graphql import GraphQLSyntaxError, OperationDefinitionNode, OperationType, parse
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_READING = ("GET", "HEAD")


def own_hosts(port: int) -> frozenset[str]:
    """What a browser on this machine says as Host of an application that listens on a port of it."""
    names = ("127.0.0.1", "localhost", "[::1]")
    # A browser leaves out the port that is usual.
    return frozenset(f"{name}:{port}" for name in names) | frozenset(names if port == 80 else ())


class OwnPageOnly:
    """ASGI middleware that refuses what does not come from the application's own pages, WebSockets included."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        """Takes the application, and each `Host` that a request to it may name, the port included."""
        self._app = app
        self._hosts = frozenset(hosts)
        self._origins = frozenset(f"http://{host}" for host in self._hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer why not."""
        refused = None if scope["type"] == "lifespan" else self._refused(scope)
        if refused is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Before it is accepted: the server answers the handshake with status 403.
            await send({"type": "websocket.close", "code": 1008, "reason": refused})
        else:
            await PlainTextResponse(f"{refused}\n", status_code=403)(scope, receive, send)

    def _refused(self, scope: Scope) -> str | None:
        """Why a request is refused, if it is."""
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
    """Why a request might change something without being plain JSON, if so."""
    if method in _READING:
        queries = parse_qs(query_string.decode("latin-1")).get("query", [])
        return "a mutation must be a POST of JSON" if any(map(_changes_something, queries)) else None
    types = {each.partition(";")[0].strip().lower() for each in headers.getlist("content-type")}
    # By the media type itself: `text/plain; application/json` is one that any page may send.
    return None if types == {"application/json"} else f"a {method} must have the Content-Type application/json"


def _changes_something(document: str) -> bool:
    """Whether any operation in a GraphQL document is a mutation, whichever of them is asked for."""
    try:
        definitions = parse(document).definitions
    except GraphQLSyntaxError:
        # Nobody can execute it.
        return False
    return any(
        isinstance(each, OperationDefinitionNode) and each.operation is OperationType.MUTATION for each in definitions
    )
