"""Attempts to use Dagster's web page from other pages, against the real application."""

import json
from urllib.parse import urlencode

import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from orchestration.materialize import open_instance
from resources.ui_server import guarded_app

PORT = 3000
HOST = {"Host": f"127.0.0.1:{PORT}"}
ORIGIN = {"Origin": f"http://127.0.0.1:{PORT}", "Sec-Fetch-Site": "same-origin"}
EVIL = {"Origin": "http://evil.example"}
NEIGHBOUR = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-site"}
REBOUND = {"Host": f"evil.example:{PORT}"}
JSON, TEXT = {"Content-Type": "application/json"}, {"Content-Type": "text/plain"}

# Changes the instance and needs no code server.
CHANGE = 'mutation Change { setConcurrencyLimit(concurrencyKey: "changed", limit: 2) }'
QUERY = "query Look { version }"
BODY = json.dumps({"query": CHANGE}).encode()
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PARTS = {"Content-Type": "multipart/form-data; boundary=x"}
MULTIPART = b'--x\r\nContent-Disposition: form-data; name="operations"\r\n\r\n' + BODY + b"\r\n--x--\r\n"
REPORT = "/report_asset_materialization/changed"


def get(document, path="/graphql", **more):
    return f"{path}?{urlencode({'query': document, **more})}"


REFUSED = [
    ("a page elsewhere", "POST", "/graphql", JSON | EVIL, BODY),
    ("a page in a sandbox", "POST", "/graphql", JSON | {"Origin": "null"}, BODY),
    ("a page on another port", "POST", "/graphql", JSON | NEIGHBOUR, BODY),
    ("a page on another port of localhost", "POST", "/graphql", JSON | {"Origin": "http://localhost:8000"}, BODY),
    ("a page with TLS", "POST", "/graphql", JSON | {"Origin": f"https://127.0.0.1:{PORT}"}, BODY),
    ("a name that leads here", "POST", "/graphql", JSON | REBOUND | {"Origin": f"http://evil.example:{PORT}"}, BODY),
    ("the port left out", "POST", "/graphql", JSON | {"Host": "127.0.0.1"}, BODY),
    ("another port", "POST", "/graphql", JSON | {"Host": "127.0.0.1:8000"}, BODY),
    ("a longer name", "POST", "/graphql", JSON | {"Host": f"127.0.0.1.evil.example:{PORT}"}, BODY),
    ("no name", "POST", "/graphql", JSON | {"Host": ""}, BODY),
    ("a cross-site request without Origin", "POST", "/graphql", JSON | {"Sec-Fetch-Site": "cross-site"}, BODY),
    ("text that is JSON", "POST", "/graphql", TEXT, BODY),
    ("text that says it is JSON", "POST", "/graphql", {"Content-Type": "text/plain; application/json"}, BODY),
    ("text and JSON", "POST", "/graphql", {"Content-Type": "text/plain, application/json"}, BODY),
    ("GraphQL as such", "POST", "/graphql", {"Content-Type": "application/graphql"}, CHANGE.encode()),
    ("no type", "POST", "/graphql", {}, BODY),
    ("a form", "POST", get(CHANGE), FORM, b"a=b"),
    ("a form of our own page", "POST", get(CHANGE), FORM | ORIGIN, b"a=b"),
    ("an upload", "POST", "/graphql", PARTS, MULTIPART),
    ("an upload of our own page", "POST", get(CHANGE), PARTS | ORIGIN, MULTIPART),
    ("GET of a mutation", "GET", get(CHANGE), {}, b""),
    ("GET of a mutation by our own page", "GET", get(CHANGE), ORIGIN, b""),
    ("HEAD of a mutation", "HEAD", get(CHANGE), {}, b""),
    ("a mutation behind a query", "GET", get(f"{QUERY} {CHANGE}", operationName="Change"), {}, b""),
    ("a query behind a mutation", "GET", get(f"{CHANGE} {QUERY}", operationName="Change"), {}, b""),
    ("a mutation behind a comment", "GET", get(f"# query\n\ufeff ,{CHANGE}"), {}, b""),
    ("the second of two queries", "GET", f"{get(QUERY)}&{urlencode({'query': CHANGE})}", {}, b""),
    ("the first of two queries", "GET", f"{get(CHANGE)}&{urlencode({'query': QUERY})}", {}, b""),
    ("a path that ends a line", "GET", get(CHANGE, "/graphql%0A"), {}, b""),
    ("a path that is written otherwise", "GET", get(CHANGE, "/%67raphql"), {}, b""),
    ("a query elsewhere", "GET", get(QUERY), EVIL, b""),
    ("a query to a name that leads here", "GET", get(QUERY), REBOUND, b""),
    ("a link elsewhere", "GET", get(QUERY), {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, b""),
    ("a frame elsewhere", "GET", "/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}, b""),
    ("the page at a name that leads here", "GET", "/", REBOUND, b""),
    ("a run's log at a name that leads here", "GET", "/logs/a/b.err", REBOUND, b""),
    ("a report elsewhere", "POST", REPORT, JSON | EVIL, b"{}"),
    ("a report from another port", "POST", REPORT, NEIGHBOUR, b""),
    ("a report to a name that leads here", "POST", REPORT, JSON | REBOUND, b"{}"),
    ("a report without a type", "POST", REPORT, {}, b""),
    ("a report as a form", "POST", REPORT, FORM, b""),
]
QUERIES = [
    ("the page", "GET", "/", {}, b""),
    ("the page by its name", "GET", "/assets", {"Host": f"LOCALHOST:{PORT}", "Sec-Fetch-Site": "none"}, b""),
    ("the page by IPv6", "GET", "/assets", {"Host": f"[::1]:{PORT}", "Sec-Fetch-Site": "same-origin"}, b""),
    ("what is no GraphQL", "GET", "/assets?query=key:a", {}, b""),
    ("a query by GET", "GET", get(QUERY), {}, b""),
    ("a query", "POST", "/graphql", JSON | ORIGIN, json.dumps({"query": QUERY}).encode()),
]
CHANGES = [
    ("our own page", "POST", "/graphql", JSON | ORIGIN, BODY),
    ("by its name", "POST", "/graphql", JSON | {"Host": "localhost:3000", "Origin": "http://localhost:3000"}, BODY),
    ("with a charset", "POST", "/graphql", {"Content-Type": "application/json; charset=utf-8"} | ORIGIN, BODY),
    ("no browser", "POST", "/graphql", JSON, BODY),
    ("a report", "POST", REPORT, JSON, b"{}"),
]


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """The real application on an instance, without any code."""
    home = tmp_path_factory.mktemp("home")
    (home / "report").mkdir()
    (home / "report" / "index.html").write_text("<h1>No choice beats random selection</h1>")
    (home / "secret").write_text("x")
    with open_instance(home) as instance, WorkspaceProcessContext(instance, None) as context:
        yield TestClient(guarded_app(context, PORT, home / "report")), instance


def test_the_report_opens_from_the_page_and_nothing_beside_it(web):
    client, _ = web
    host = {"Host": f"127.0.0.1:{PORT}"}
    for path in ("/report/", "/report/index.html"):
        assert "No choice beats random" in client.get(path, headers=host).text
    assert client.get("/report/%2e%2e/secret", headers=host).status_code == 404
    assert client.get("/report/", headers={"Host": "evil.example"}).status_code == 403
    assert client.get("/report/", headers=host | {"Sec-Fetch-Site": "cross-site"}).status_code == 403


def changed(instance):
    """Whether anything was changed; puts it back."""
    keys, assets = instance.event_log_storage.get_concurrency_keys(), instance.all_asset_keys()
    for key in keys:
        instance.event_log_storage.delete_concurrency_limit(key)
    instance.wipe_assets(assets)
    return bool(keys or assets)


def answer(web, method, path, headers, body):
    client, _ = web
    return client.request(method, path, headers=HOST | headers, content=body)


def cases(table):
    return pytest.mark.parametrize(("method", "path", "headers", "body"), [pytest.param(*c, id=n) for n, *c in table])


@cases(REFUSED)
def test_what_is_refused_changes_nothing(web, method, path, headers, body):
    assert answer(web, method, path, headers, body).status_code == 403
    assert not changed(web[1])


@cases(QUERIES)
def test_what_only_reads_is_answered(web, method, path, headers, body):
    assert answer(web, method, path, headers, body).status_code == 200
    assert not changed(web[1])


@cases(CHANGES)
def test_what_our_own_page_asks_for_is_done(web, method, path, headers, body):
    assert answer(web, method, path, headers, body).status_code == 200
    assert changed(web[1])


@pytest.mark.parametrize(
    "headers",
    [EVIL, NEIGHBOUR, {"Origin": "null"}, REBOUND, REBOUND | {"Origin": f"http://evil.example:{PORT}"}],
    ids=["elsewhere", "another port", "sandbox", "rebound", "rebound in agreement"],
)
def test_a_web_socket_of_another_page_is_refused(web, headers):
    client, _ = web
    # Closed before it is accepted.
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/graphql", headers=HOST | headers):
        pass


@pytest.mark.parametrize("document", [CHANGE, f"subscription Look {{ capturedLogs }} {CHANGE}"])
def test_dagsters_web_socket_executes_no_mutation(web, document):
    with web[0].websocket_connect("/graphql", headers=HOST | ORIGIN, subprotocols=["graphql-ws"]) as socket:
        socket.send_json({"type": "connection_init"})
        assert socket.receive_json() == {"type": "connection_ack"}
        payload = {"query": document, "operationName": "Change", "operation_name": "Change"}
        socket.send_json({"type": "start", "id": "1", "payload": payload})
        assert socket.receive_json()["type"] == "error"
    assert not changed(web[1])


def test_the_own_hosts_of_the_usual_port(web):
    del web
    from resources.own_page import own_hosts

    assert own_hosts(80) >= {"127.0.0.1", "127.0.0.1:80", "localhost", "[::1]"}
    assert "localhost" not in own_hosts(3000)
