"""Strangers' texts on a terminal."""

from selection_platform.cli.terminal_text import WIDTH, first_line, shown


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
