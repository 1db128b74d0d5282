"""`selection-platform ui` as a user starts and stops it: real processes, real requests."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import pytest
import yaml

from selection_platform.configuration.profile import HOME_VARIABLE
from tests.small_run import PROFILE, Place, change_profile, conversations, write_pool

LAUNCH = """
mutation Launch {
  launchRun(executionParams: {
    mode: "default", runConfigData: "{}",
    selector: {
      repositoryLocationName: "selection_platform.definitions", repositoryName: "__repository__", jobName: "clean"
    }
  }) { __typename ... on LaunchRunSuccess { run { runId } } }
}
"""
SELECTIONS = '{ assetNodeOrError(assetKey: {path: ["selection"]}) { ... on AssetNode { partitionKeys } } }'
RUNS = "{ runsOrError { ... on Runs { results { status } } } }"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ui")
    place = Place(folder, folder / "small.yaml", folder / "letters.jsonl")
    write_pool(place, conversations(60, seed=0))
    place.profile.write_text(yaml.safe_dump(PROFILE, sort_keys=False))
    return place


@pytest.fixture(scope="module")
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(place, port, home="home"):
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "selection_platform.cli.main",
            "--profile",
            str(place.profile),
            "ui",
            "--port",
            str(port),
        ],
        env={**os.environ, HOME_VARIABLE: str(place.folder / home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def opened(place, port):
    """The UI, as soon as it says where it is."""
    process = start(place, port)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(3)]
    address = f"http://127.0.0.1:{port}"
    assert said == [f"{address}\n", f"{address}/assets/verdict  the answer\n", f"{address}/report/  the report\n"]
    yield process
    process.kill()
    process.communicate()


def ask(port, method="POST", headers=None, query=None) -> Any:
    """The answer's JSON, or the status where it is refused."""
    body = json.dumps({"query": query}).encode() if method == "POST" else None
    path = f"?{urllib.parse.urlencode({'query': query})}" if method == "GET" else ""
    headers = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql{path}", body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        return error.code


def handshake(port, **headers):
    """The first line of the answer to a WebSocket's handshake."""
    wanted = {
        "Host": f"127.0.0.1:{port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "graphql-ws",
        **headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in wanted.items())
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(f"GET /graphql HTTP/1.1\r\n{lines}\r\n".encode())
        return connection.makefile("rb").readline().decode().strip()


def group_of(process):
    """Ids of the processes that the command started, by their group's leader."""
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, check=True, text=True
    )
    (leader,) = children.stdout.split()
    return int(leader)


def alive(group):
    listed = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, check=True, text=True).stdout
    return [line for line in listed.splitlines() if line.split()[0] == str(group) and "Z" not in line]


@pytest.mark.slow
def test_only_its_own_page_can_use_it(opened, port):
    evil = {"Origin": "http://evil.example"}
    assert ask(port, "GET", query=LAUNCH) == 403
    assert ask(port, headers=evil, query=LAUNCH) == 403
    assert ask(port, headers={"Host": f"evil.example:{port}"}, query=LAUNCH) == 403
    assert ask(port, headers={"Content-Type": "text/plain"}, query=LAUNCH) == 403
    assert handshake(port, **evil).split()[1] == "403"
    assert handshake(port, Host=f"evil.example:{port}").split()[1] == "403"
    assert handshake(port, Origin=f"http://127.0.0.1:{port}").split()[1] == "101"
    assert ask(port, query=RUNS)["runsOrError"]["results"] == []
    # Code server, queue and daemon do their part.
    own = {"Origin": f"http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}
    assert ask(port, headers=own, query=LAUNCH)["launchRun"]["__typename"] == "LaunchRunSuccess"
    deadline = time.monotonic() + 120
    while (runs := ask(port, query=RUNS)["runsOrError"]["results"]) != [{"status": "SUCCESS"}]:
        assert time.monotonic() < deadline, runs
        time.sleep(1)


@pytest.mark.slow
def test_a_second_one_and_a_taken_port_end_with_one_message(opened, place, port):
    second = start(place, 1)
    assert second.communicate(timeout=60) == (
        "", f"selection-platform: Dagster is already open for {place.home}; close it first\n"
    )  # fmt: skip
    elsewhere = start(place, port, home="other")
    assert elsewhere.communicate(timeout=60) == (
        "", f"selection-platform: port {port}: Address already in use; name another with --port\n"
    )  # fmt: skip
    assert (second.returncode, elsewhere.returncode, opened.poll()) == (1, 1, None)
    assert not (place.folder / "other" / "small" / "dagster").exists()


@pytest.mark.slow
def test_a_changed_profile_is_loaded_by_itself(opened, place, port):
    def selections():
        return ask(port, query=SELECTIONS)["assetNodeOrError"]["partitionKeys"]

    assert "random/letters/tiny/6/s2" not in selections()
    before = place.profile.read_text()
    change_profile(place, arms={"random": {"seeds": [0, 1, 2]}})
    deadline = time.monotonic() + 120
    while "random/letters/tiny/6/s2" not in selections():
        assert time.monotonic() < deadline
        time.sleep(1)
    place.profile.write_text(before)


@pytest.mark.slow
def test_it_ends_with_all_that_it_started(opened, place, port):
    group = group_of(opened)
    assert len(alive(group)) >= 4
    started = time.monotonic()
    opened.send_signal(signal.SIGTERM)
    _, said = opened.communicate(timeout=30)
    assert time.monotonic() - started < 10
    assert opened.returncode == 128 + signal.SIGTERM
    assert alive(group) == []
    assert said.splitlines()[-1] == "stopped; run again to go on"


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1, 4, 8, None])
def test_nothing_is_left_whenever_it_is_killed(place, port, seconds):
    process = start(place, port)
    if seconds is None:
        assert process.stdout is not None
        process.stdout.readline()
    else:
        time.sleep(seconds)
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False
    )
    process.kill()
    process.communicate(timeout=30)
    deadline = time.monotonic() + 2
    while any(alive(group) for group in listed.stdout.split()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
