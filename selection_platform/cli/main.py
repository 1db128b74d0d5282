"""The entry point: run one command, and exit with a status.

The exit status is 0; 1 after one message on standard error; 2 for a command line that is not understood; 3 from
`status --exit-code` if something is due; 130, 143 or 129 after a signal.
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
        # Scripts call this often, and it needs none of the imports below.
        print(f"selection-platform {version('selection-platform')}")
        return 0
    stopping, status = Stopping(), 0
    try:
        with stopping:
            status = _run(arguments)
    except BrokenPipeError:
        # The reader of the output, such as `head`, has closed it. Discard the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if is_fixable(error):
            # A message may quote text from outside, such as a key of a row.
            print(f"selection-platform: {printable(message_of(error))}", file=sys.stderr)
        else:
            _report_fault(error)
        return 1
    if stopping.signal is None:
        return status
    print(STOPPED, file=sys.stderr)
    return exit_status(stopping.signal)


def _run(arguments: Sequence[str]) -> int:
    # Imported here, after Ctrl-C is handled, because it takes a second.
    from selection_platform.cli.command_line import parser
    from selection_platform.cli.completion import is_asked, offer
    from selection_platform.cli.data_options import options_named
    from selection_platform.configuration.profile import PROFILE_VARIABLE, load_profile
    from selection_platform.job.progress_lines import show_progress

    root = parser()
    if is_asked():
        offer(root)
    options = root.parse_args(arguments)
    show_progress()
    if options.makes_profile:
        if options.profile:
            raise PlatformError("--profile: this command does not read one; leave it out")
        with options_named():
            status = options.command(options)
    else:
        if options.profile:
            # Dagster's processes load the definitions themselves, and read the profile from here.
            os.environ[PROFILE_VARIABLE] = options.profile
        status = options.command(load_profile(options.profile), options)
    sys.stdout.flush()
    return status or 0


def _report_fault(error: Exception) -> None:
    """Print the traceback of a bug in the platform, and write it to a file for a report."""
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
        "selection-platform: this is a bug in the platform, not a problem with your input. Please report it to the "
        f"maintainers with {report}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    sys.exit(main())
