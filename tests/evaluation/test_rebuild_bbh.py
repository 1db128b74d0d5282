from random import Random

from tools.rebuild_bbh import (
    SUBSETS,
    coloured_objects,
    essence,
    lettered,
    multiple_choice,
    navigate,
    rebuild,
    two_marked,
    two_quoted,
)


def test_all_subsets_have_a_source():
    assert len(SUBSETS) == 24


def test_options_are_lettered_in_order():
    assert lettered("Q?", ["x", "y"], "y") == ("Q?\nOptions:\n(A) x\n(B) y", "(B)")


def test_shuffled_options_keep_the_answer():
    example = {"input": "Q?", "target_scores": {"x": 0, "y": 1, "z": 0}}
    item = multiple_choice("Lead. ")(example, "", Random(1))
    assert item.input.startswith("Lead. Q?\nOptions:\n(A) ")
    assert f"\n{item.target} y" in item.input


def test_two_sentences_in_the_question():
    quoted = {"input": 'Which: a " big red " b " red big " ?', "target_scores": {"a": 1, "b": 0}}
    assert two_quoted(quoted, "", Random(0)).target == "(A)"
    marked = {"input": "Which? (a) Fine. (b) Great.", "target_scores": {"(a)": 0, "(b)": 1}}
    assert two_marked(marked, "", Random(0)).input.endswith("(A) Fine.\n(B) Great.")
    assert two_marked(marked, "", Random(0)).target == "(B)"


def test_only_one_option_is_right():
    shape = {"input": "draws a", "target_scores": {"circle": 1, "line": 0, "ellipse": 1}}
    assert "ellipse" not in multiple_choice()(shape, "", Random(0)).input
    number = {"input": "How many?", "target_scores": {"0": 0, "zero": 0, "1": 1, "one": 1}}
    assert coloured_objects(number, "", Random(0)) == ("How many?\nOptions:\n(A) zero\n(B) one", "(B)")


def test_navigate_is_a_yes_no_question():
    example = {"input": "Take 1 step.", "target_scores": {"True": 0, "False": 1}}
    assert navigate(example, "Do you return?", Random(0)) == (
        "Do you return? Take 1 step.\nOptions:\n- Yes\n- No",
        "No",
    )


def test_shown_and_repeated_rows_are_left_out():
    examples = [{"input": word, "target_scores": {"x": 1, "y": 0}} for word in ("shown", "asked", "other")]
    shown = {essence("shown\nOptions:\n(A) y\n(B) x")}
    items = rebuild({"examples": [*examples, examples[1]]}, lambda e, *_: lettered(e["input"], ["x", "y"], "x"), shown)
    assert sorted(item.input.split("\n")[0] for item in items) == ["asked", "other"]


def test_quotes_and_full_stops_do_not_make_another_question():
    assert essence('Is it "so"?\nOptions:\n(A) Yes.\n(B) No') == essence("Is it so?\nOptions:\n(A) No\n(B) Yes")
    assert essence("( [ <") != essence("( [ {")
