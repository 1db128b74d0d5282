"""One connection is opened and serves many; it is closed when nobody reads any more."""

from contextlib import contextmanager

import duckdb
import pytest

from resources import readers


class Opener:
    """Opens connections, and knows all that it opened."""

    def __init__(self):
        self.connections = []

    @contextmanager
    def __call__(self):
        with duckdb.connect(":memory:") as connection:
            self.connections.append(connection)
            yield connection


@pytest.fixture
def opened():
    yield Opener()
    readers.close("folder")


def number(connection):
    return connection.execute("SELECT 1").fetchone()[0]


def test_one_connection_serves_all_who_read_the_same_state(opened):
    for _ in range(3):
        with (
            readers.cursor("folder", "state", opened, number) as one,
            readers.cursor("folder", "state", opened, number) as other,
        ):
            assert number(one) == number(other) == 1
    assert len(opened.connections) == 1


def test_another_state_is_read_by_another_connection(opened):
    for state in ("before", "after", "after"):
        with readers.cursor("folder", state, opened, number):
            pass
    before, _ = opened.connections
    with pytest.raises(duckdb.ConnectionException):
        number(before)


def test_who_reads_can_go_on_when_it_is_closed(opened):
    with readers.cursor("folder", "state", opened, number) as reading:
        readers.close("folder")
        assert number(reading) == 1
        with readers.cursor("folder", "state", opened, number) as other:
            assert number(other) == 1
        assert number(reading) == 1
    with pytest.raises(duckdb.ConnectionException):
        number(opened.connections[0])
    assert number(opened.connections[1]) == 1


def test_what_cannot_be_opened_is_opened_again(opened):
    @contextmanager
    def broken():
        raise OSError("no such folder")
        yield

    with pytest.raises(OSError, match="no such folder"), readers.cursor("folder", "state", broken, number):
        pass
    with readers.cursor("folder", "state", opened, number) as reading:
        assert number(reading) == 1


def test_a_cursor_serves_the_next_reader_and_is_made_ready_once(opened):
    ready = []
    used = []
    for _ in range(3):
        with readers.cursor("folder", "state", opened, ready.append) as one:
            used.append(one)
    assert ready == used[:1]
    assert used[1] is used[2] is ready[0]


def test_a_cursor_whose_reader_failed_serves_no_other(opened):
    with pytest.raises(OSError, match="the disk is full"), readers.cursor("folder", "state", opened, number) as failed:
        raise OSError("the disk is full")
    with pytest.raises(duckdb.ConnectionException):
        number(failed)
    with readers.cursor("folder", "state", opened, number) as next_one:
        assert next_one is not failed
