"""Conversations of the warehouse on their way to a job or a user, with the answers of them that are not trained on."""

from resources.warehouse import Values, Warehouse
from sql.queries import load_sql

PLACEHOLDER = "(FROM conversations)"


def conversations_sql(warehouse: Warehouse, name: str, values: Values | None = None) -> str:
    """The statement of a name, which has the columns `sample_id` and `messages`, to run with these values.

    Where one of its conversations has an answer that is not trained on, a column `untrained` stands beside. Elsewhere
    there is none: the files that jobs read, and so what they made of them, are the same as before there were such
    answers.
    """
    statement = load_sql(name)
    columns = warehouse.query(load_sql("00_warehouse/columns")).rows()
    # Homes of an earlier version have no such column before the first write.
    if not any(row[:2] == ("pools.samples", "untrained") for row in columns):
        return statement
    if not warehouse.query(load_sql("10_pools/any_untrained")).item():
        return statement
    marked = load_sql("10_pools/with_untrained").replace(PLACEHOLDER, f"({statement})")
    has_any = warehouse.query(f"SELECT count(untrained) FROM ({marked})", values).item()
    return marked if has_any else statement
