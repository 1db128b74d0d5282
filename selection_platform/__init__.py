"""Which conversations should I fine-tune on, and does that choice beat picking at random?

The library: reading pools, scoring, selecting, training and evaluating. It knows neither Dagster nor DuckDB, but for
its two ways in: `definitions` (what Dagster loads) and `cli` (the command line).
"""

import os


def _wait_without_work() -> None:
    """Let idle threads of OpenMP sleep, unless the user says otherwise.

    By default they keep a core busy while they wait for the next piece of work, which takes that core from whatever
    else runs on the machine. OpenMP reads this once, when torch or scikit-learn loads it. So it is set here: every way
    in imports this package before anything else, child processes inherit it, and no entry can forget it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _run_no_code_of_the_hub() -> None:
    """Keep transformers from fetching code to compute with, as it does where a model wants flash-attn that is missing.

    It reads this once, when it is imported.
    """
    os.environ.setdefault("USE_HUB_KERNELS", "NO")


_wait_without_work()
_run_no_code_of_the_hub()
