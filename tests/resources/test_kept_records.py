"""Dagster's records with files that stay open: fewer openings, and the same records for whoever else looks."""

import sqlite3.dbapi2
from collections import Counter

import dagster as dg
import pytest

from assets.record.provenance import latest_provenance
from orchestration.materialize import dagster_home, open_instance
from resources.kept_records import MOST_RUNS_OPEN


@dg.asset
def letters():
    return dg.MaterializeResult(metadata={"letters": 26})


def run(instance):
    return dg.materialize([letters], instance=instance).run_id


def events(instance, run_id):
    return [record.event_log_entry.message for record in instance.get_records_for_run(run_id).records]


@pytest.mark.slow
def test_each_file_is_opened_once(tmp_path, monkeypatch):
    opened = Counter()
    connect = sqlite3.dbapi2.connect

    def counted(path, *arguments, **options):
        opened[str(path)] += 1
        return connect(path, *arguments, **options)

    with open_instance(tmp_path) as instance:
        run(instance)
        monkeypatch.setattr(sqlite3.dbapi2, "connect", counted)
        run(instance)
    assert set(opened.values()) == {1}


@pytest.mark.slow
def test_others_find_the_same_while_it_is_open_and_when_it_is_closed(tmp_path):
    def seen():
        with dg.DagsterInstance.from_config(str(dagster_home(tmp_path))) as other:
            made = latest_provenance(other, letters.key)[None]
            return made.metadata["letters"], *(events(other, run_id) for run_id in run_ids)

    with open_instance(tmp_path) as instance:
        # More than stay open at a time.
        run_ids = [run(instance) for _ in range(MOST_RUNS_OPEN + 2)]
        own = [events(instance, run_id) for run_id in run_ids]
        assert min(map(len, own)) > 5
        assert seen() == (26, *own)
    assert seen() == (26, *own)
    # Closed files leave no log beside them.
    assert not list(tmp_path.rglob("*.db-wal"))


@pytest.mark.slow
def test_a_file_that_another_process_made_stays(tmp_path):
    graph = dg.Definitions([letters]).resolve_asset_graph()
    job = dg.define_asset_job("some").resolve(asset_graph=graph)
    with open_instance(tmp_path) as instance, dg.DagsterInstance.from_config(str(dagster_home(tmp_path))) as other:
        new = other.create_run_for_job(job)
        other.report_engine_event("first", new)
        instance.report_engine_event("second", new)
        assert events(other, new.run_id)[-2:] == ["first", "second"]
