"""The way in: run one command, and end in a way that people and scripts understand.

The exit status is 0; 1 after one message on standard error; 2 for a command line that is not understood; 3 from
`status --exit-code` where something is due; 130, 143 or 129 after a signal.
"""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from selection_platform.errors import PlatformError, is_fixable, message_of
from selection_platform.job.stopping import STOPPED, Stopping, exit_status
from selection_platform.text.printable import printable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments == ["--version"]:
        # Scripts ask often, and nothing of what follows is needed for it.
        print(f"selection-platform {version('selection-platform')}")
        return 0
    stopping, status = Stopping(), 0
    try:
        with stopping:
            status = _run(arguments)
    except BrokenPipeError:
        # Whoever reads the output, such as `head`, wants no more of it; what is left goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if is_fixable(error):
            # A message may have a stranger's text in it, such as a key of a row.
            print(f"selection-platform: {printable(message_of(error))}", file=sys.stderr)
        else:
            _report_fault(error)
        return 1
    if stopping.signal is None:
        return status
    print(STOPPED, file=sys.stderr)
    return exit_status(stopping.signal)


def _run(arguments: Sequence[str]) -> int:
    # Here, where Ctrl-C is heeded already: it takes a second.
    from selection_platform.cli.command_line import parser
    from selection_platform.cli.completion import is_asked, offer
    from selection_platform.cli.progress_lines import show_progress
    from selection_platform.configuration.profile import PROFILE_VARIABLE, load_profile

    root = parser()
    if is_asked():
        offer(root)
    options = root.parse_args(arguments)
    show_progress()
    if options.makes_profile:
        if options.profile:
            raise PlatformError("--profile: this command does not read one; leave it out")
        status = options.command(options)
    else:
        if options.profile:
            # Dagster's processes load the definitions by themselves, and find the profile here.
            os.environ[PROFILE_VARIABLE] = options.profile
        status = options.command(load_profile(options.profile), options)
    sys.stdout.flush()
    return status or 0


def _report_fault(error: Exception) -> None:
    """Show the traceback of a fault of ours, and keep it for whoever looks into it."""
    import traceback

    from selection_platform.configuration.profile import homes, make_private

    text = "".join(traceback.format_exception(error))
    print(text, file=sys.stderr, end="")
    log = homes() / "fault.log"
    versions = " ".join([f"selection-platform {version('selection-platform')}", f"Python {sys.version.split()[0]}"])
    try:
        make_private(log.parent)
        log.write_text(f"{versions}\n{' '.join(sys.argv)}\n\n{text}", encoding="utf-8")
        report = str(log)
    except OSError as why:
        report = f"the lines above and these versions: {versions} ({log} cannot be written: {why.strerror})"
    print(
        "selection-platform: this is a fault of the platform and not of what you gave it. Please report it to its "
        f"maintainers with {report}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    sys.exit(main())
