"""Strangers' texts on a terminal."""

import logging

from selection_platform.cli.explain import _print_text
from selection_platform.cli.main import main
from selection_platform.cli.terminal_text import WIDTH, first_line, shown
from selection_platform.errors import PlatformError
from selection_platform.job.progress_lines import show_progress


def test_a_long_text_is_cut_and_what_is_left_is_counted():
    assert shown("a b\n\nc" + "d" * 1994, 6) == "  a b\n\n  c\n  ... 1,994 more characters (--full shows all)"
    assert shown("a b", 3) == "  a b"
    whole = shown("word " * 100, None)
    assert whole.split() == ["word"] * 100
    assert max(map(len, whole.splitlines())) <= WIDTH


def test_the_first_line_that_is_not_blank():
    assert first_line(" \n  What is it?\nMore.", 20) == "What is it?"
    assert first_line("What is it, and why?", 10) == "What is..."
    assert first_line(None, 10) == ""


def test_nothing_that_a_terminal_would_obey():
    assert first_line("\x1b[2Jred\u200b\u202etext\u00a0é", 20) == "\ufffd[2Jredtext é"
    assert shown("\x07bell", None) == "  \ufffdbell"


EVIL = "evil\x1b[2J\u202e\nlicence MIT"


def test_source_and_licence_of_a_row_are_one_line_each(capsys):
    pool = {"pool": "p", "split": "samples", "source": EVIL, "licence": EVIL, "turns": 1, "characters": 2}
    messages = [{"role": "user", "content": EVIL}, {"role": "assistant", "content": EVIL}]
    _print_text({"sample_id": "a", "pools": [{**pool, "messages": messages}], "tokens": []}, None)
    second = capsys.readouterr().out.splitlines()[1]
    assert second == "  p: source evil\ufffd[2J, licence evil\ufffd[2J, 1 turn, 2 characters"


def test_a_message_obeys_nothing(monkeypatch, capsys):
    monkeypatch.setattr("selection_platform.cli.main._run", lambda _: (_ for _ in ()).throw(PlatformError(EVIL)))
    assert main(["status"]) == 1
    assert capsys.readouterr().err == "selection-platform: evil\ufffd[2J\nlicence MIT\n"


def test_a_line_of_progress_obeys_nothing(capsys):
    show_progress()
    logging.getLogger("selection_platform.pools").warning(EVIL)
    assert "\x1b" not in capsys.readouterr().err
