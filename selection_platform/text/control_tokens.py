"""Tokenises messages so that no part of a message becomes a control token.

A tokenizer looks for its special tokens, such as `<|endoftext|>`, in all text that it is given. Here it looks for them
only in text from the template. If a message contains the text of a special token, a copy of the tokenizer is used in
which special tokens have other names, and those in the template's text are renamed too. The rest of the tokenizer does
not change, so text is split in the same way.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from tokenizers import Encoding
from tokenizers import Tokenizer as Backend

from selection_platform.errors import PlatformError

# A noncharacter, to which Unicode will never give a meaning.
_MARK = "\ufdd0"
_PLAIN = "A text: 1 + 1 = 2, naïve?\n\n  def f(x):\n\treturn x  # 世界 🌍 "


class Run(NamedTuple):
    """A run of text.

    Attributes:
        text: the run.
        is_message: whether it comes from a message, and not from a template.
    """

    text: str
    is_message: bool


class TextEncoder:
    """A tokenizer for text of messages and templates.

    Args:
        tokenizer: a tokenizer of transformers, with a `tokenizers` backend.
        control_tokens: whether the text of a special token inside a message becomes the token.
    """

    def __init__(self, tokenizer: Any, *, control_tokens: bool = False) -> None:
        self._backend: Backend = tokenizer.backend_tokenizer
        self._name = str(tokenizer.name_or_path)
        # Settings in tokenizer.json could truncate and pad texts.
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = False
        added = self._backend.get_added_tokens_decoder()
        self.added = {token.content: number for number, token in added.items()}
        """Ids of the tokens that are looked for in text, special or not."""
        self._special = [] if control_tokens else [token.content for token in added.values() if token.special]
        self._pattern = _any_of(self._special)
        # Such a token is looked for in the normalised text.
        self._normalised = any(token.special and token.normalized for token in added.values())

    def encode(self, runs: Sequence[Run]) -> tuple[Encoding, list[int]]:
        """Tokens of the runs as one text, and where each run begins in the text that the offsets refer to."""
        return self.encode_all([runs])[0]

    def encode_all(self, texts: Sequence[Sequence[Run]]) -> list[tuple[Encoding, list[int]]]:
        """The same for many texts, with few calls of the tokenizer."""
        renamed = [self._has_control(runs) for runs in texts]
        written = [self._renamed(runs) if is_renamed else runs for runs, is_renamed in zip(texts, renamed, strict=True)]
        joined = ["".join(run.text for run in runs) for runs in written]
        encodings: dict[int, Encoding] = {}
        for is_renamed in (False, True):
            places = [place for place, flag in enumerate(renamed) if flag == is_renamed]
            if places:
                backend = self._renaming if is_renamed else self._backend
                batch = backend.encode_batch([joined[place] for place in places], add_special_tokens=False)
                encodings.update(zip(places, batch, strict=True))
        return [(encodings[place], _starts(runs)) for place, runs in enumerate(written)]

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of messages' texts, each tokenised separately."""
        return [encoding.ids for encoding, _ in self.encode_all([[Run(text, is_message=True)] for text in texts])]

    def has_control(self, text: str) -> bool:
        """Whether a message contains the text of a special token."""
        return self._has_control([Run(text, is_message=True)])

    def _has_control(self, runs: Sequence[Run]) -> bool:
        """Whether a message contains the text of a special token, or a part of it."""
        if self._pattern is None:
            return False
        text = "".join(run.text for run in runs)
        matches = [match.span() for match in self._pattern.finditer(text)]
        if self._normalised and self._backend.normalizer is not None:
            plain = "".join(run.text for run in runs if run.is_message)
            if self._pattern.search(self._backend.normalizer.normalize_str(plain)):
                return True
        if not matches:
            return False
        messages = [
            (start, start + len(run.text)) for run, start in zip(runs, _starts(runs), strict=True) if run.is_message
        ]
        return any(first < end and start < last for first, last in matches for start, end in messages)

    def _renamed(self, runs: Sequence[Run]) -> list[Run]:
        """The runs with the template's own special tokens under their other names."""
        pattern, names = self._pattern, self._names
        assert pattern is not None
        if any(_MARK + self._key in run.text for run in runs):
            raise PlatformError(
                f"a message contains {_MARK + self._key!r}, which is reserved here; remove it from the message"
            )
        return [
            run if run.is_message else Run(pattern.sub(lambda match: names[match[0]], run.text), is_message=False)
            for run in runs
        ]

    @cached_property
    def _key(self) -> str:
        return hashlib.sha256(json.dumps(sorted(self.added.items())).encode()).hexdigest()[:16]

    @cached_property
    def _names(self) -> dict[str, str]:
        return {token: f"{_MARK}{self._key}{number}{_MARK}" for number, token in enumerate(self._special)}

    @cached_property
    def _renaming(self) -> Backend:
        """The copy of the tokenizer with renamed special tokens.

        Raises:
            PlatformError: it does not give the same tokens for text without special tokens in messages.
        """
        copy = Backend.from_str(json.dumps(_with_names(json.loads(self._backend.to_str()), self._names)))
        plain = f"{_PLAIN}{_PLAIN.join(self._special)}{_PLAIN}"
        renamed = _PLAIN + _PLAIN.join(self._names[token] for token in self._special) + _PLAIN
        expected = self._backend.encode(plain, add_special_tokens=False).ids
        if copy.encode(renamed, add_special_tokens=False).ids != expected:
            raise PlatformError(
                f"{self._name}: a message has the text of a special token, and this tokenizer cannot read it as plain "
                "text; write `text: {control_tokens: true}` to let it become the token, or drop such rows"
            )
        return copy


def _any_of(tokens: Sequence[str]) -> re.Pattern[str] | None:
    longest_first = sorted(filter(None, tokens), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def _starts(runs: Sequence[Run]) -> list[int]:
    starts, place = [], 0
    for run in runs:
        starts.append(place)
        place += len(run.text)
    return starts


def _with_names(tokenizer: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A tokenizer.json with other names for some tokens."""
    for token in tokenizer["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    model = tokenizer["model"]
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(token, token): number for token, number in vocabulary.items()}
    elif isinstance(vocabulary, list):
        model["vocab"] = [[names.get(token, token), score] for token, score in vocabulary]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    # It adds tokens, which is not wanted here, and refers to them by name.
    tokenizer["post_processor"] = None
    return tokenizer
