import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from selection_platform.text.conversation import Message, sample_id

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), ANY_TEXT), max_size=3))
def test_an_id_is_the_hash_of_the_messages_as_json(pairs):
    text = json.dumps([list(pair) for pair in pairs], ensure_ascii=False, separators=(",", ":"))
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    assert sample_id([Message(*pair) for pair in pairs]) == digest[:32]
