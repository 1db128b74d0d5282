"""Run one job: `python -m selection_platform.job JOB SPEC FOLDER`.

SPEC is a JSON file of the job's spec, FOLDER is where its result goes. A job that was killed continues where it
stopped, and a complete one ends at once. If Dagster started the job, log lines go to the run as Dagster Pipes messages.
"""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from selection_platform.errors import is_fixable
from selection_platform.job.lock import only_worker
from selection_platform.job.processes import leave_group, share_by_slurm
from selection_platform.job.registry import JOB_NAMES
from selection_platform.job.run import ErrorLine, run_job
from selection_platform.job.stopping import exit_status

_SECONDS_BETWEEN_LOOKS = 0.5


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the job that the command line names, in one or several processes.

    Raises:
        SystemExit: the job failed; the error was written to standard error.
    """
    options = _parser().parse_args(arguments)
    if options.with_parent is not None:
        _end_with(options.with_parent)
    with nullcontext() if options.locked else only_worker(options.folder):
        _run(options)


def _run(options: argparse.Namespace) -> None:
    if options.on_slurm:
        share_by_slurm()
    elif options.processes > 1 and not options.on_ray:
        _start_processes(options)
        return
    try:
        with ErrorLine():
            if options.on_ray:
                from selection_platform.job.ray_workers import run_workers

                run_workers(options.job, options.spec, options.folder, options.processes, options.on_ray)
            else:
                run_job(options.job, options.spec, options.folder)
                leave_group()
    except Exception as error:
        if not is_fixable(error):
            raise
        sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m selection_platform.job", description="Run one job in a folder.")
    parser.add_argument("job", choices=JOB_NAMES)
    parser.add_argument("spec", type=Path, help="JSON file with the job's spec")
    parser.add_argument("folder", type=Path, help="where the result goes, and the state to go on from")
    parser.add_argument("--processes", type=int, default=1, help="that share the job, on this machine by torchrun")
    parser.add_argument(
        "--on-ray",
        type=int,
        metavar="CPUS",
        help="in workers on the Ray cluster that this machine is of, with so many processors each",
    )
    parser.add_argument("--on-slurm", action="store_true", help="as one of the processes that `srun` started")
    parser.add_argument("--with-parent", type=int, metavar="PID", help="end when the parent, of this id, is gone")
    parser.add_argument("--locked", action="store_true", help="who started it holds the folder's lock")
    return parser


def _start_processes(options: argparse.Namespace) -> None:
    """Start several processes of this program, and wait for them."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    torchrun_options = ["--standalone", "--nproc-per-node", str(options.processes), "--module"]
    job = [options.job, str(options.spec), str(options.folder), "--with-parent", str(os.getpid()), "--locked"]
    try:
        torchrun([*torchrun_options, "selection_platform.job", *job])
    except ChildFailedError:
        # Its text has the exit status only. The process itself has printed the message.
        sys.exit(1)
    except SignalException as stopped:
        sys.exit(exit_status(stopped.sigval))


def _end_with(parent: int) -> None:
    """End this process soon after its parent ends, however it ends: nobody would wait for this one."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        # A job can be killed at any moment, and sys.exit would end only this thread.
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    # Ctrl-C ends it at once, as SIGTERM does. Its work so far is in the folder.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    main()
