"""What all tests share: one thread each, and one finished run of the small profile."""

import gc
import os
import shutil
import sqlite3
import sys
from collections import Counter
from contextlib import ExitStack

# Before torch and polars are imported: sums over more threads come out otherwise, models this small lose more than they
# gain by threads, and tests that run side by side have a core each. Processes that a test starts inherit it.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS"), "1")

import pytest
import yaml
from alembic.script import ScriptDirectory
from dagster_duckdb import DuckDBResource
from filelock import FileLock
from hypothesis import settings
from sqlalchemy import event
from sqlalchemy.engine import Engine

from assets.record import asset, score_table
from benchmarks.postgres_server import NoServer, running_server
from orchestration import workspace
from resources import catalog
from resources.kept_writer import kept_writer
from resources.warehouse import Warehouse
from selection_platform.cli.main import main
from selection_platform.configuration.profile import HOME_VARIABLE, PROFILE_VARIABLE
from selection_platform.job.versions import VERSIONS
from selection_platform.pools import benchmark_overlap, candidates
from tests.small_run import PROFILE, Place, conversations, write_pool

MANY_TEXTS = 1000
"""Texts of the benchmarks' items, and not of a test's own few."""

# A busy machine is no fault of what is tested.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")


def pytest_collection_modifyitems(items):
    """Tests of the finished run are slow, and files with slow tests come first: each file is one process's work.

    Of the files that use the finished run, one comes first, and the others when it is there to be copied: the longer
    ones before the shorter, so that no process is alone with a long one in the end.
    """
    for item in items:
        if "finished" in item.fixturenames:
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    of_finished = Counter(item.path for item in items if "finished" in item.fixturenames)
    first = next(iter(of_finished), None)

    def place_in_order(item):
        if item.path not in slow:
            return 3, 0
        return (1, 0) if item.path not in of_finished else (0 if item.path == first else 2, -of_finished[item.path])

    items.sort(key=place_in_order)


def pytest_configure():
    """Imports and collected tests are a million objects that stay: to look for garbage among them takes seconds."""
    gc.disable()


def pytest_collection_finish():
    """Garbage is that of the tests from here on.

    A refresh freezes what is there before each step, and unfreezes it all in the end. What was imported would be looked
    through from then on: a second for each training and each step that asks for garbage.
    """
    _freeze()
    gc.enable()
    gc.freeze = _freeze_new_modules
    gc.unfreeze = lambda: None


def pytest_runtest_call():
    """Many modules are imported by the first test or fixture that uses them: they stay from there on, too."""
    _freeze_new_modules()


def _freeze_new_modules():
    if len(sys.modules) > _frozen_modules + 100:
        gc.collect()
        _freeze()


_frozen_modules = 0


def _freeze(freeze=gc.freeze):
    global _frozen_modules
    freeze()
    _frozen_modules = len(sys.modules)


@event.listens_for(Engine, "connect")
def _without_waiting_for_the_disk(connection, _):
    """Dagster commits a hundred times a step. What a test wrote is there after kill -9 all the same."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


def duckdb_with(threads):
    """Opens DuckDB as the warehouse does, with some threads."""

    def opened(database, connection_config):
        return DuckDBResource(database=database, connection_config={**connection_config, "threads": threads})

    return opened


@pytest.fixture(scope="session", autouse=True)
def _one_thread_of_duckdb():
    """It reads no variable. On tables of a few rows, a second thread of DuckDB doubles the time of the first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "DuckDBResource", duckdb_with(threads=1))
        yield


@pytest.fixture(scope="session", autouse=True)
def _migrations_are_read_once():
    """Dagster reads all its migrations, 90 files, each time it opens an instance. Here a process opens hundreds."""
    known, read = {}, ScriptDirectory.from_config

    def read_once(config):
        folder = config.get_main_option("script_location")
        if folder not in known:
            known[folder] = read(config)
        return known[folder]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", read_once)
        yield


def _of_the_same_texts(make):
    """Makes an index of many texts once, as long as they are the same."""
    newest = []

    def made(texts):
        texts = tuple(texts)
        if len(texts) < MANY_TEXTS:
            return make(texts)
        if not newest or newest[0] != texts:
            newest[:] = texts, make(texts)
            # A million lists that stay: a refresh would look through them before each step.
            gc.collect()
            _freeze()
        return newest[1]

    return made


@pytest.fixture(scope="session", autouse=True)
def _benchmarks_are_indexed_once():
    """Each pool that is made is compared with all items of the benchmarks: to index them takes 2 s of CPU."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((candidates, "ContaminationFilter"), (benchmark_overlap, "OverlapFinder")):
            patch.setattr(module, name, _of_the_same_texts(getattr(module, name)))
        yield


def enter(patch, place):
    """Let the command line find the home folder."""
    patch.setenv(HOME_VARIABLE, str(place.folder / "home"))
    # The command line sets it for the processes it starts; here it must not outlive the test.
    patch.setenv(PROFILE_VARIABLE, str(place.profile))


@pytest.fixture(scope="session")
def new_warehouse(tmp_path_factory):
    """Gives a warehouse with every table and no rows: a copy, as making the tables takes longer than most tests.

    The newest one has its writing connection kept open, as in a refresh: to open it takes longer than most writes.
    `kept=False` is for a test of what happens to the files.
    """
    made = tmp_path_factory.mktemp("no-rows") / "warehouse"
    with Warehouse(folder=str(made)).write():
        pass
    with ExitStack() as newest:

        def copy(folder, *, kept=True):
            newest.close()
            shutil.copytree(made, folder)
            if kept:
                newest.enter_context(kept_writer(str(folder)))
            return Warehouse(folder=str(folder))

        yield copy


@pytest.fixture(scope="session")
def server():
    """How libpq connects to a PostgreSQL server. Tests share it, each with a schema of its own."""
    try:
        with running_server(durable=False) as connection:
            yield connection
    except NoServer as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def finished(tmp_path_factory, request):
    """The small profile, all of it materialised, and a copy beside it: made by one process and copied by the others."""
    of_all = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        of_all = of_all.parent
    made = of_all / "finished"
    with FileLock(of_all / "finished.lock"):
        if not made.exists():
            _make_small_run(made)
    folder = tmp_path_factory.mktemp("platform") / "here"
    shutil.copytree(made, folder)
    shutil.copytree(made, folder.with_name("finished"))
    return _place(folder)


def _place(folder):
    return Place(folder, folder / "small.yaml", folder / "letters.jsonl")


def _make_small_run(folder):
    place = _place(folder.with_name("in-work"))
    shutil.rmtree(place.folder, ignore_errors=True)
    place.folder.mkdir()
    write_pool(place, conversations(60, seed=0))
    place.profile.write_text(yaml.safe_dump(PROFILE, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, place)
        assert main(["--profile", str(place.profile), "run"]) == 0
    place.folder.rename(folder)


@pytest.fixture
def place(finished, monkeypatch):
    """The small profile as it was when all was materialised. Paths and times of change are the same in every test."""
    shutil.rmtree(finished.folder)
    shutil.copytree(finished.folder.with_name("finished"), finished.folder)
    enter(monkeypatch, finished)
    monkeypatch.setattr(workspace, "build_assets", _built_once(workspace.build_assets))
    return finished


def _built_once(build_assets):
    """Builds the assets of a test's profile once, as long as profile, statements and versions stay the same.

    A command line builds them once in its life; a test runs several in one process.
    """
    built = []

    def build(profile):
        made_of = profile, dict(VERSIONS), asset.load_sql, score_table.load_sql
        for known, assets in built:
            if known == made_of:
                return assets
        built.append((made_of, build_assets(profile)))
        return built[-1][1]

    return build
