"""Conversations from the warehouse for a job or a user, with marks on the answers that are not trained on."""

from resources.warehouse import Values, Warehouse
from sql.queries import load_sql

PLACEHOLDER = "(FROM conversations)"


def conversations_sql(warehouse: Warehouse, name: str, values: Values | None = None) -> str:
    """The named statement, whose columns are `sample_id` and `messages`, to run with these values.

    If one of its conversations has an answer that is not trained on, there is a third column, `untrained`. Otherwise
    there is none, so that the files that jobs read, and their results, stay the same as in versions without such
    answers.
    """
    statement = load_sql(name)
    columns = warehouse.query(load_sql("00_warehouse/columns")).rows()
    # A home of an earlier version has no such column until the first write.
    if not any(row[:2] == ("pools.samples", "untrained") for row in columns):
        return statement
    if not warehouse.query(load_sql("10_pools/any_untrained")).item():
        return statement
    marked = load_sql("10_pools/with_untrained").replace(PLACEHOLDER, f"({statement})")
    has_any = warehouse.query(f"SELECT count(untrained) FROM ({marked})", values).item()
    return marked if has_any else statement
