-- How much of its selection a training used, from its manifest. NULL: an earlier version did not count it.
SELECT
    $trained::INTEGER + $dropped::INTEGER AS selected,
    $trained::INTEGER AS trained,
    $cut::INTEGER AS cut,
    $dropped::INTEGER AS dropped,
    $answer_tokens::BIGINT AS answer_tokens,
    $answer_tokens_cut::BIGINT AS answer_tokens_cut
