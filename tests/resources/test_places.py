"""A warehouse works whatever its folder is called, and wherever it is moved, linked or copied."""

import shutil
import uuid
from pathlib import Path

import polars as pl
import pytest

from resources.faults import WarehouseFault
from resources.plain_paths import plain_paths
from resources.snapshots import forget_snapshots, snapshots
from resources.warehouse import Warehouse

PARTITION = {"pool": "p", "model": "m"}
ROWS = 5_000
"""More than DuckLake keeps in the catalog itself."""

NAMES = {
    'it\'s "it" #1; 50%20 ✓\n': [],
    "a\\b": [],
    "a?b*[xy]": ["aXbx", "aXbYYy"],
    "a\\*b{x}": ["a\\b{x}"],
}
"""Names of homes, and of homes beside them that they match as patterns."""

CASES = [*(("sqlite", name) for name in NAMES), pytest.param("postgres", "a\\*b{x}", marks=pytest.mark.slow)]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def catalog(request):
    """What opens a warehouse in a folder, always with the same catalog where that is not in the folder."""
    if request.param == "sqlite":
        return lambda folder: Warehouse(folder=str(folder))
    setting, schema = f"postgres:{request.getfixturevalue('server')}", f"it's {uuid.uuid4()}"
    return lambda folder: Warehouse(folder=str(folder), catalog=setting, catalog_schema=schema)


def here(folder):
    return Warehouse(folder=str(folder))


def rows_of(score):
    return pl.DataFrame({"sample_id": [f"s{i}" for i in range(ROWS)], "score": [score] * ROWS})


def write(warehouse, score):
    """Write rows by way of a file, as assets do."""
    file = Path(warehouse.folder).parent / "artifacts" / "rows.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    rows_of(score).write_parquet(file)
    warehouse.replace_from_parquet("scores.ifd", PARTITION, [file])


def read(warehouse):
    return warehouse.query("SELECT DISTINCT score, count(*) OVER () AS rows FROM scores.ifd").rows()


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def forget_all_but_the_newest(warehouse):
    forget_snapshots(warehouse, snapshots(warehouse)[:-1])


@pytest.mark.slow
@pytest.mark.parametrize(("catalog", "name"), CASES, indirect=["catalog"])
def test_a_home_of_any_name_is_written_read_and_cleaned_and_its_neighbours_are_left_alone(tmp_path, name, catalog):
    # Read, they would give other rows; and no catalog here knows of them.
    others = [tmp_path / neighbour / "warehouse" / "tables" / "scores" / "ifd" for neighbour in NAMES[name]]
    others += [tmp_path / neighbour / "artifacts" for neighbour in NAMES[name]]
    for folder in others:
        folder.mkdir(parents=True)
        rows_of(0.25).write_parquet(folder / "rows.parquet")
    warehouse = catalog(tmp_path / name / "warehouse")
    for score in (0.5, 0.75):
        write(warehouse, score)
    (warehouse.tables / "scores" / "ifd" / "left.parquet").write_bytes(b"of a write that was killed")
    forget_all_but_the_newest(warehouse)
    assert read(warehouse) == [(0.75, ROWS)]
    assert len(list(warehouse.tables.rglob("*.parquet"))) == 1
    assert all((folder / "rows.parquet").exists() for folder in others)
    assert {path.name for path in tmp_path.iterdir()} == {name, *NAMES[name]}


@pytest.mark.slow
@pytest.mark.parametrize("spelling", ["/{}", "{}/../home"])
def test_other_spellings_of_a_folder_are_the_same_folder(tmp_path, spelling):
    home = tmp_path / "home"
    for score in (0.5, 0.75):
        write(here(home / "warehouse"), score)
    again = here(f"{spelling.format(home)}/warehouse")
    forget_all_but_the_newest(again)
    assert read(again) == read(here(home / "warehouse")) == [(0.75, ROWS)]


@pytest.mark.slow
def test_a_copy_and_what_it_is_copied_from_live_on_independently(tmp_path):
    name = "ho?e"  # As a pattern it is the other too.
    first = here(tmp_path / "home" / "warehouse")
    for score in (0.25, 0.5):
        write(first, score)
    shutil.copytree(tmp_path / "home", tmp_path / name)
    copied = here(tmp_path / name / "warehouse")
    assert read(copied) == [(0.5, ROWS)]

    for changed, kept, score in ((copied, first, 0.75), (first, copied, 1.0)):
        before, rows = files(kept.tables), read(kept)
        write(changed, score)
        forget_all_but_the_newest(changed)
        assert read(changed) == [(score, ROWS)]
        assert (files(kept.tables), read(kept)) == (before, rows)
    shutil.rmtree(first.folder)
    assert read(copied) == [(0.75, ROWS)]


@pytest.mark.slow
def test_the_catalog_names_its_folder_for_other_programs_and_files_without_it(tmp_path):
    write(here(tmp_path / "a*b" / "warehouse"), 0.5)
    for name in ("a*b", "moved"):
        folder = tmp_path / name / "warehouse"
        if name == "moved":
            (tmp_path / "a*b").rename(tmp_path / name)
            write(here(folder), 0.75)
        warehouse = here(folder)
        with warehouse.read() as connection:
            (place,) = connection.execute(
                f"SELECT value FROM {warehouse.metadata}.ducklake_metadata WHERE key = 'data_path'"
            ).fetchall()
            kinds = connection.execute(
                f"SELECT DISTINCT path_is_relative FROM {warehouse.metadata}.ducklake_data_file"
            ).fetchall()
        assert (place, kinds) == ((f"{folder}/tables/",), [(1,)])


@pytest.mark.slow
def test_a_home_is_the_same_by_a_link(tmp_path, catalog):
    write(catalog(tmp_path / "home" / "warehouse"), 0.5)
    (tmp_path / "link*").symlink_to("home")
    linked = catalog(tmp_path / "link*" / "warehouse")
    assert read(linked) == [(0.5, ROWS)]
    write(linked, 0.75)
    assert read(catalog(tmp_path / "home" / "warehouse")) == [(0.75, ROWS)]


@pytest.mark.slow
@pytest.mark.parametrize("catalog", ["postgres"], indirect=True)
def test_a_home_with_its_catalog_in_postgresql_moves_when_the_database_is_told(tmp_path, catalog):
    write(catalog(tmp_path / "home" / "warehouse"), 0.5)
    shutil.copytree(tmp_path / "home", tmp_path / "it's moved")
    moved = catalog(tmp_path / "it's moved" / "warehouse")
    for use in (read, lambda warehouse: write(warehouse, 0.75)):
        with pytest.raises(WarehouseFault, match=r"If you moved this home.*If it is a copy") as raised:
            use(moved)
    before = files(moved.tables)
    said = str(raised.value)
    statement = said[said.index("UPDATE") : said.index(" If it is a copy")].rstrip(".")
    with catalog(tmp_path / "home" / "warehouse").write() as connection:
        connection.execute("CALL postgres_execute($database, $statement)", {
            "database": "__ducklake_metadata_warehouse", "statement": statement,
        })  # fmt: skip
    assert read(moved) == [(0.5, ROWS)]
    assert files(moved.tables) == before
    with pytest.raises(WarehouseFault, match="If you moved this home"):
        read(catalog(tmp_path / "home" / "warehouse"))


def test_most_paths_are_plain_as_they_are(tmp_path):
    file = tmp_path / "it's 1;#{x}" / "file.parquet"
    with plain_paths() as plain:
        assert plain(file) == str(file)
        assert plain(Path("//data/home")) == "/data/home"


def test_a_plain_path_leads_to_the_file_and_has_nothing_special_in_it(tmp_path):
    folder = tmp_path / "a*b" / "inner" / "c%d"
    folder.mkdir(parents=True)
    (folder / "file").write_text("here")
    with plain_paths() as plain:
        assert Path(plain(folder / "file")).read_text() == "here"
        assert Path(plain(folder)).samefile(folder)
        assert "*" not in plain(folder)
        # The same folder has the same name, so that paths below it can be compared.
        assert plain(folder / "file") == f"{plain(folder)}/file"
