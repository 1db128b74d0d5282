"""A Hugging Face hub with one data set, on this machine: just enough for the hub's own client."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB = "someone/chats"


class PretendHub(ThreadingHTTPServer):
    """Attributes:
    files: what the data set holds, by path. Files of more than 100 bytes are kept as large files are.
    cut: after how many bytes the connection of the next download of a path breaks.
    commit: what its branch and its only revision is.
    error: the hub's word for why it shows nothing, where it does not.
    asked: the downloads, as path and first byte.
    """

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = files
        self.commit = COMMIT
        self.cut: dict[str, int] = {}
        self.error = ""
        self.asked: list[tuple[str, int]] = []

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        pass


class _Handler(BaseHTTPRequestHandler):
    server: PretendHub  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        path = unquote(urlsplit(self.path).path)
        if self.server.error:
            status = 403 if self.server.error == "GatedRepo" else 404
            return self.send(status, b"", {"X-Error-Code": self.server.error}, body)
        commit = self.server.commit
        api, files = f"/api/datasets/{HUB}", f"/datasets/{HUB}/resolve/{commit}/"
        if path in (f"{api}", f"{api}/auth-check", f"{api}/revision/main", f"{api}/revision/{commit}"):
            return self.send_json({"id": HUB, "sha": commit, "siblings": []}, body)
        if path.startswith(f"{api}/tree/{commit}"):
            return self.send_json([_entry(*item) for item in sorted(self.server.files.items())], body)
        if path.startswith(files) and (name := path.removeprefix(files)) in self.server.files:
            return self.send_file(name, body)
        return self.send(
            404, b"", {"X-Error-Code": "RevisionNotFound" if path.startswith(api) else "EntryNotFound"}, body
        )

    def send_json(self, value, body):
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"}, body)

    def send_file(self, name, body):
        content = self.server.files[name]
        headers = {"ETag": f'"{_sha256(content)}"', "X-Repo-Commit": self.server.commit, "Accept-Ranges": "bytes"}
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if body:
            self.server.asked.append((name, start))
        self.send(
            206 if start else 200, content[start:], headers, body, self.server.cut.pop(name, None) if body else None
        )

    def send(self, status, content, headers, body, cut=None):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content[:cut])
        if cut is not None:
            self.close_connection = True


def _sha256(content):
    return hashlib.sha256(content).hexdigest()


def _entry(path, content):
    entry = {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
    if len(content) > 100:
        entry["lfs"] = {"oid": _sha256(content), "size": len(content), "pointerSize": 130}
    return entry


@contextmanager
def pretend_hub(monkeypatch, cache, files):
    """Run the hub, and let the client know it alone, with an empty cache."""
    from datasets import config
    from huggingface_hub import constants

    hub = PretendHub(files)
    thread = threading.Thread(target=hub.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(config, "HF_ENDPOINT", hub.endpoint)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
