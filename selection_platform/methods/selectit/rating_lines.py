"""The texts of the rating prompts. Importable without torch."""

RATING_PROMPTS = (
    "Read the exchange below and judge, from 1 (not at all) to 5 (completely), how well the assistant's answer does "
    "what the human asked for.",
    "On a scale from 1 to 5, how faithfully does the assistant carry out the human's request? 5 is the best.",
    "You check the work of an assistant. Give its reply a mark between 1 and 5; the higher, the more closely the reply "
    "follows the request.",
    "Below, a human wants something and an assistant replies. Grade the reply: 1 means that it misses the request, 5 "
    "that it meets the request in full.",
    "How good is this answer to this request? Choose one whole number: 1 for useless, 2 for weak, 3 for fair, 4 for "
    "good, 5 for excellent.",
)
"""Rating lines, worded for this platform; SelectIT's sentence level is a mean over five such lines."""

RATING_CUE = "\nRating: "
"""The text between the last answer and the digit. It has no digit, which a small model would repeat."""

RATINGS = (1, 2, 3, 4, 5)
