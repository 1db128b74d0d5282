r"""Numbers as people and chat models write them: 1,319 and $18.00 and -3 and 2 1/2 and \frac{1}{2} and "twelve".

They are exact (`Fraction`), so that 18, 18.00 and 36/2 are one number. Pure functions on text.
"""

import re
from fractions import Fraction

# fmt: off
_WORDS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
]
# fmt: on
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {word: value for value, word in enumerate(_WORDS)}
_VALUES |= {word: 10 * value for value, word in enumerate(_TENS, start=2)}
_VALUES |= {f"{tens}-{one}": _VALUES[tens] + _VALUES[one] for tens in _TENS for one in _WORDS[1:10]}
_LONGEST = 100
"""Characters of a number. Python refuses to read some thousands of digits, which a model that repeats itself writes."""
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_HALVES = {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"}

_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|\\,|[\u00a0\u2009\u202f])(?=\d{3})")
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*(\d+)\s*\}\s*\{\s*(\d+)\s*\}")
_NUMBER = re.compile(
    r"""(?<![\w.])(?P<sign>[-\u2212\u2013](?=[$€£¥]?[\d.]))?[$€£¥]?(?P<inner>[-\u2212\u2013](?=[\d.]))?
    (?:(?P<whole>\d+)\s+)?(?P<over>\d+)\s?/\s?(?P<under>[1-9]\d*)(?![\d,]*\.?\d)
    |(?<![\w.])(?P<minus>[-\u2212\u2013](?=[$€£¥]?[\d.]))?(?:[$€£¥]\s?)?(?P<dash>[-\u2212\u2013](?=[\d.]))?
    (?P<digits>\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?P<power>[eE][+-]?\d{1,2}(?!\w))?""",
    re.VERBOSE,
)
_SCALE = re.compile(rf"\s+({'|'.join(_SCALES)})\b", re.IGNORECASE)
_WORD = re.compile(rf"\b(?:{'|'.join(sorted(_VALUES, key=len, reverse=True))})\b", re.IGNORECASE)


def numbers(text: str) -> list[Fraction]:
    """The numbers in a text that are written in digits, in order. Signs of money and of percent do not count."""
    text = _tidied(text)
    return [_value(found, text) for found in _NUMBER.finditer(text) if len(found.group()) <= _LONGEST]


def number_words(text: str) -> list[Fraction]:
    """The numbers from zero to ninety-nine in a text that are written as one word, in order."""
    return [Fraction(_VALUES[found.group().lower()]) for found in _WORD.finditer(text)]


def _tidied(text: str) -> str:
    text = _LATEX_FRACTION.sub(r" \1/\2", _THOUSANDS.sub("", text))
    for sign, fraction in _HALVES.items():
        text = text.replace(sign, f" {fraction}")
    return text.replace("\\$", "$").replace("\\%", "%")


def _value(found: re.Match[str], text: str) -> Fraction:
    scale = _SCALE.match(text, found.end())
    times = _SCALES[scale.group(1).lower()] if scale else 1
    if found["over"]:
        value = int(found["whole"] or 0) + Fraction(int(found["over"]), int(found["under"]))
        return times * (-value if found["sign"] or found["inner"] else value)
    value = Fraction(found["digits"].replace(",", "") + (found["power"] or ""))
    return times * (-value if found["minus"] or found["dash"] else value)
