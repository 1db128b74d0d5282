"""The rating prompts, and the tokens from which ratings are read.

A prompt is a rating line and an empty line, the conversation as the platform renders it (up to its last answer, without
an end-of-sequence token), and a cue after which a digit is expected. The pieces are tokenised separately and joined. A
conversation that is too long is cut before line and cue are added, so that both are always whole.

The cue ends in a space, because Qwen2 and Llama 3 tokenise a digit separately from the space before it. In a vocabulary
where the two are one token (GPT-2's), single digits have little probability; their sum in the result shows this.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from selection_platform.errors import PlatformError
from selection_platform.features.token_plan import TokenPlan
from selection_platform.methods.selectit.rating_lines import RATING_CUE, RATING_PROMPTS, RATINGS
from selection_platform.text.renderer import Renderer


class NoDigitTokens(PlatformError):
    """A tokenizer in which the digits 1 to 5 are not five single tokens."""


@dataclass(frozen=True)
class RatingTokens:
    """The token ids that every sample's prompts share.

    Attributes:
        heads: each rating line with the empty line after it, preceded by the beginning-of-sequence token if the
        renderer
            has one.
        bos: number of beginning-of-sequence tokens of a conversation, which are in the heads instead.
        cue: tokens of `RATING_CUE`.
        digits: tokens of the digits 1 to 5, in this order.
    """

    heads: list[np.ndarray]
    bos: int
    cue: np.ndarray
    digits: np.ndarray

    @property
    def longest(self) -> int:
        """Tokens to reserve for the longest rating line and the cue."""
        return max(len(head) for head in self.heads) + len(self.cue) - self.bos

    def lengths(self, plan: TokenPlan) -> np.ndarray:
        """Samples x prompts: tokens of each sequence."""
        return plan.joint_lengths[:, None] + np.array([len(head) + len(self.cue) - self.bos for head in self.heads])

    def sequence(self, prompt: int, conversation: np.ndarray) -> np.ndarray:
        """The token ids of one conversation under the prompt of this index, from 0."""
        return np.concatenate([self.heads[prompt], conversation[self.bos :], self.cue])


def rating_tokens(renderer: Renderer) -> RatingTokens:
    """Tokenise the parts that every sample's prompts share.

    Raises:
        NoDigitTokens: as `digit_tokens` says.
    """
    tokenizer, bos = renderer.tokenizer, np.array(renderer.bos, dtype=np.int32)

    def encode(text: str) -> np.ndarray:
        return np.array(tokenizer.encode(text, add_special_tokens=False), dtype=np.int32)

    heads = [np.concatenate([bos, encode(f"{line}\n\n")]) for line in RATING_PROMPTS]
    return RatingTokens(heads, len(bos), encode(RATING_CUE), digit_tokens(tokenizer))


def digit_tokens(tokenizer: Any) -> np.ndarray:
    """The ids of the tokens "1" to "5" (int64). The published code hard-codes the ids of one vocabulary.

    Raises:
        NoDigitTokens: a digit is not a single token, so its probability would be that of something else.
    """
    digits: list[int] = []
    for rating in RATINGS:
        ids = tokenizer.encode(str(rating), add_special_tokens=False)
        # Some tokenizers put a token for the start of a word first; the digit is the last.
        if not ids or str(tokenizer.decode(ids[-1:])).strip() != str(rating):
            raise NoDigitTokens(
                f"{tokenizer.name_or_path}: the digit {rating} is not a single token, but SelectIT reads the "
                "probabilities of the tokens 1 to 5; rate with another model"
            )
        digits.append(ids[-1])
    return np.array(digits, dtype=np.int64)


def conversation_tokens(tokens: RatingTokens, max_length: int) -> int:
    """Most tokens of a conversation, so that every prompt fits with line and cue into `max_length`.

    Raises:
        PlatformError: line and cue leave no room.
    """
    room = max_length - tokens.longest
    if room < 1:
        raise PlatformError(
            f"scoring.max_length {max_length} leaves no room for a conversation: the longest rating prompt takes "
            f"{tokens.longest} tokens; raise it in the profile"
        )
    return room
