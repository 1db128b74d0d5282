"""SQL by name: one statement per file, in the numbered stage folders of `sql/`."""

from functools import cache
from importlib.resources import files

_FOLDER = files("sql")


@cache
def load_sql(name: str) -> str:
    """The text of `sql/<name>.sql`, such as `40_scores/entropy`.

    Raises:
        FileNotFoundError: there is no such file.
    """
    return _FOLDER.joinpath(f"{name}.sql").read_text(encoding="utf-8")


def list_sql(stage: str) -> list[str]:
    """The names of the statements in a stage folder, in order."""
    names = sorted(path.name for path in _FOLDER.joinpath(stage).iterdir() if path.name.endswith(".sql"))
    return [f"{stage}/{name.removesuffix('.sql')}" for name in names]
