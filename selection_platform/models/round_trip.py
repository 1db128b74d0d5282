"""Checks that a tokenizer keeps text: encoding and decoding should give the same text."""

import unicodedata
from typing import Any

from selection_platform.errors import PlatformError

PROBES = {
    "English": "The quick brown Fox, aged 9, doesn't jump over 12.5% of the lazy dogs!",
    "code": 'def f(x):\n\tif x != 0:\n        return {"a": [x ** 2, -1]}  # done\n\n\nprint(f(3))\r\n',
    "blanks": "one  two   three\n\n  indented\n\ttab \n end",
    "mathematics": "√2 ≈ 1.41, x² ≤ ∑ 1/n², ∀ε>0",
    "accents": "Ça dépend du cœur, naïve Füße, señor, žluťoučký kůň",
    "Greek and Cyrillic": "Ένα σπίτι, большой дом",
    "Chinese, Japanese, Korean": "今天天气很好。カタカナとひらがな、한국어",
    "Arabic and Hebrew": "السلام عليكم، שלום",
    "Indian scripts": "नमस्ते दुनिया, வணக்கம்",
    "emoji": "Well done 👍🏽 👩‍👩‍👧 🇫🇷",
    "combining marks": "e\u0301 a\u0308 ﬁ Å",
}
"""Texts that show what tokenizers lose, by kind."""

_NEEDED = ("English", "code", "blanks")


class LossyTokenizer(PlatformError):
    """A tokenizer that cannot distinguish texts that must be different."""


def lost_in_tokenizer(tokenizer: Any, name: str) -> list[str]:
    """Descriptions of the texts that the tokenizer changes. Most tokenizers change none.

    Args:
        tokenizer: a tokenizer of transformers.
        name: the model's name, for the message.

    Raises:
        LossyTokenizer: capitals, line breaks, blanks or plain letters are lost.
    """
    lost: list[str] = []
    for kind, text in PROBES.items():
        back = _back(tokenizer, text)
        if back == text or back == f" {text}" or f" {back}" == text:
            continue
        forms = [form for form in ("NFC", "NFKC", "NFD", "NFKD") if back == unicodedata.normalize(form, text)]
        if forms:
            lost.append(f"{kind} come back in Unicode's form {forms[0]}")
        elif kind in _NEEDED:
            raise LossyTokenizer(
                f"{name}: its tokenizer loses text: {_difference(text, back)}; name a model whose tokenizer keeps "
                "capitals, line breaks and blanks"
            )
        else:
            lost.append(f"{kind}: {_difference(text, back)}")
    return lost


def _back(tokenizer: Any, text: str) -> str:
    ids = tokenizer.encode(text, add_special_tokens=False)
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _difference(text: str, back: str) -> str:
    """A description of the first difference between two texts."""
    same = zip(text, back, strict=False)
    place = next((place for place, (one, other) in enumerate(same) if one != other), min(len(text), len(back)))
    return f"{text[place : place + 12]!r} comes back as {back[place : place + 12]!r}"
