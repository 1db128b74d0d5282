"""The sensor `status` records what is due, some partitions at a time."""

import json
from types import SimpleNamespace
from typing import Any

import dagster as dg

from orchestration import due_sensor

KEY = dg.AssetKey("made")


def test_the_first_look_records_what_is_due_alone_and_in_batches(monkeypatch):
    due_now = {"a", "b", "c"}
    recorded: list[tuple[str, bool]] = []

    def due():
        return [
            SimpleNamespace(step=SimpleNamespace(nodes=[(KEY, key)]), status="stale", causes=("a",))
            for key in sorted(due_now)
        ]

    partitions = list("abcd")
    staleness: Any = SimpleNamespace(
        graph=SimpleNamespace(partition_keys=lambda key: partitions),
        made=lambda: {(KEY, key): SimpleNamespace(recorded_by="run") for key in partitions},
        due=due,
    )
    monkeypatch.setattr(due_sensor, "AT_ONCE", 2)
    monkeypatch.setattr(due_sensor, "_report", lambda instance, node, due: recorded.append((node[1], due is not None)))
    sensor = due_sensor.due_sensor(lambda instance: staleness, lambda instance: None)

    def look(cursor=None):
        recorded.clear()
        with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance, cursor) as context:
            return sensor.evaluate_tick(context)

    first = look()
    assert recorded == [("a", True), ("b", True)]
    assert first.skip_message == "3 of 4 materialised partitions are due. 1 more are shown at the next tick."
    second = look(first.cursor)
    assert recorded == [("c", True)]
    assert look(second.cursor).cursor == second.cursor
    assert recorded == []
    due_now.remove("b")
    third = look(second.cursor)
    assert recorded == [("b", False)]
    assert list(json.loads(third.cursor or "")) == ["made a", "made c"]
