import json
import unicodedata

import pytest

from selection_platform.text.printable import markdown_text, printable, printable_json

TEXTS = [
    ("plain", "naïve 文字 🙂", "naïve 文字 🙂"),
    ("lines", "one\n\ttwo", "one\n\ttwo"),
    ("colour", "\x1b[31mred\x1b[0m", "\ufffd[31mred\ufffd[0m"),
    ("title of the window", "\x1b]0;mine\x07", "\ufffd]0;mine\ufffd"),
    ("escape of one byte", "\x9b2J", "\ufffd2J"),
    ("back over the line", "licence MIT\rnone", "licence MIT\ufffdnone"),
    ("turned round", "a\u202egnp.exe\u2066b", "agnp.exeb"),
    ("no width", "pass\u200bword", "password"),
    ("half a character", "\ud800", "\ufffd"),
    ("another space", "a\u00a0b\u2028c", "a b c"),
]


@pytest.mark.parametrize(("text", "expected"), [pytest.param(*case, id=id) for id, *case in TEXTS])
def test_what_a_terminal_would_obey_is_taken_out(text, expected):
    assert printable(text) == expected


@pytest.mark.parametrize("text", [text for _, text, _ in TEXTS])
def test_json_keeps_all_and_shows_none_of_it(text):
    document = printable_json(json.dumps({"text": text, "nested": [text]}, ensure_ascii=False, indent=1))
    assert json.loads(document) == {"text": text, "nested": [text]}
    assert all(character == "\n" or character.isprintable() for character in document)
    assert not any(unicodedata.category(character) in ("Cf", "Cc") for character in document.replace("\n", ""))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cc-by-4.0", "cc-by-4.0"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("MIT | 1,000 |\n| none", "MIT \\| 1,000 \\| \\| none"),
        ("[free](javascript:x) ![](http://a)", "\\[free\\](javascript:x) !\\[\\](http://a)"),
        ("`x` **y** &amp;", "\\`x\\` \\*\\*y\\*\\* &amp;amp;"),
        ("\x1b[2Ja", "\ufffd\\[2Ja"),
    ],
)
def test_in_markdown_a_text_is_only_a_text(text, expected):
    assert markdown_text(text) == expected
