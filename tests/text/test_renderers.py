"""Chat templates as renderers: the text, whose tokens are the answers', and that messages stay text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from selection_platform.configuration.text_settings import PAPER, TextSettings
from selection_platform.data_packages import packaged_file
from selection_platform.models.base_model import SMOLLM2_135M_INSTRUCT
from selection_platform.models.round_trip import lost_in_tokenizer
from selection_platform.text.conversation import Message
from selection_platform.text.renderer import Renderer, UnusableTemplate
from selection_platform.text.rendering import CHAT_TEMPLATE, template_hash
from selection_platform.text.template_choice import make_renderer
from tests.chat_tokenizers import NAMES, SPECIAL, chat_tokenizer

TOKENIZERS = {name: chat_tokenizer(name) for name in NAMES}
OWN = {name: make_renderer(tokenizer, TextSettings()) for name, tokenizer in TOKENIZERS.items()}
PAPERS = {name: make_renderer(tokenizer, PAPER) for name, tokenizer in TOKENIZERS.items()}
RENDERERS = [
    pytest.param(made[name], id=f"{name}-{text}") for text, made in (("own", OWN), ("paper", PAPERS)) for name in NAMES
]
CONVERSATION = [
    Message("user", "What is it? "), Message("assistant", " It is  42.\n"),
    Message("user", "And\nthen?"), Message("assistant", "naïve 世界 🌍"),
]  # fmt: skip
SYSTEM = Message("system", "Be kind.")
PUTS_BLANKS = {"mistral", "phi-3"}


def without_blanks(text: str) -> str:
    return "".join(text.split())


def records(messages):
    return [{"role": message.role, "content": message.content} for message in messages]


def server_ids(renderer: Renderer, messages, *, generation: bool = False):
    """The tokens of a server: the saved chat template's text, tokenised at once without further special tokens."""
    return renderer.tokenizer.apply_chat_template(
        records(messages), chat_template=renderer.chat_template, add_generation_prompt=generation, return_dict=False
    )


def answers(renderer: Renderer, messages):
    """The text of each run of answer tokens."""
    tokens, runs, before = renderer.tokenize(messages), [], False
    for token, is_answer in zip(tokens.ids, tokens.is_answer, strict=True):
        if is_answer and not before:
            runs.append([])
        if is_answer:
            runs[-1].append(token)
        before = is_answer
    return [renderer.tokenizer.decode(run).strip() for run in runs]


@pytest.mark.parametrize("name", NAMES)
def test_the_tokens_are_a_servers(name):
    renderer = OWN[name]
    assert renderer.tokenize(CONVERSATION).ids == server_ids(renderer, CONVERSATION)
    assert renderer.prompt(CONVERSATION[:3]).ids == server_ids(renderer, CONVERSATION[:3], generation=True)
    prompt = renderer.prompt(CONVERSATION[:3])
    assert prompt.text == renderer.tokenizer.apply_chat_template(
        records(CONVERSATION[:3]), chat_template=renderer.chat_template, add_generation_prompt=True, tokenize=False
    )


def test_the_answers_are_their_texts_and_the_ends_of_their_turns():
    ends = {
        "llama-3": "<|eot_id|>",
        "qwen": "<|im_end|>",
        "gemma": "<end_of_turn>",
        "mistral": "</s>",
        "phi-3": "<|end|>",
    }
    for name, end in ends.items():
        first, last = answers(OWN[name], CONVERSATION)
        assert first.replace(end, "").strip() == "It is  42.", name
        assert first.endswith(end), name
        thinking = "<think>\n\n</think>\n\n" if name == "qwen" else ""
        assert last == f"{thinking}naïve 世界 🌍{end}", name
        assert [OWN[name].tokenizer.decode([token]) for token in OWN[name].end][-1] == end


def test_generation_stops_at_the_end_of_a_turn_and_of_a_sequence():
    stops = {name: [renderer.tokenizer.decode([end]) for end in renderer.ends] for name, renderer in OWN.items()}
    assert stops == {
        "llama-3": ["<|eot_id|>"], "qwen": ["<|im_end|>"], "gemma": ["<end_of_turn>", "<eos>"], "mistral": ["</s>"],
        "phi-3": ["<|end|>", "<|endoftext|>"],
    }  # fmt: skip
    assert OWN["gemma"].generation_end() == list(OWN["gemma"].ends)
    assert OWN["qwen"].generation_end() == OWN["qwen"].ends[0]


@pytest.mark.parametrize("renderer", RENDERERS)
def test_the_prompt_of_the_last_answer_is_the_prompt_that_asks_for_it(renderer: Renderer):
    tokens, (last,) = renderer.tokenize(CONVERSATION), renderer.last_answers([CONVERSATION])
    assert renderer.prompt(CONVERSATION[:-1]).ids == last.prompt == tokens.ids[: len(last.prompt)]
    answer = tokens.ids[len(last.prompt) :]
    assert answer[: len(last.answer + renderer.end)] == last.answer + renderer.end
    assert last.answer_after_cue == last.answer
    assert last.cue == renderer.cue != []
    continued = renderer.continuation(renderer.prompt(CONVERSATION[:-1]), CONVERSATION[-1].content)
    # What these two write before an answer's text belongs to it too: thinking, and a blank.
    assert continued == last.answer or renderer in (OWN["qwen"], OWN["mistral"])


@pytest.mark.parametrize("renderer", RENDERERS)
def test_an_answer_that_is_not_trained_on_is_context(renderer: Renderer):
    untrained = [CONVERSATION[0], CONVERSATION[1]._replace(trained=False), *CONVERSATION[2:]]
    plain, masked = renderer.tokenize(CONVERSATION), renderer.tokenize(untrained)
    assert masked.ids == plain.ids
    assert answers(renderer, untrained) == answers(renderer, CONVERSATION)[1:]
    assert sum(masked.is_text) < sum(plain.is_text)
    assert masked.text_bytes == len(CONVERSATION[3].content.encode())


def test_the_token_for_the_beginning_comes_once():
    counts = {}
    for name, tokenizer in TOKENIZERS.items():
        for bos in ("auto", "never", "always"):
            if tokenizer.bos_token_id is None and bos == "always":
                continue
            for template in (None, "paper"):
                renderer = make_renderer(tokenizer, TextSettings(template=template, bos=bos))
                ids, (last,) = renderer.tokenize(CONVERSATION).ids, renderer.last_answers([CONVERSATION])
                bos_id: int = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else -1
                count = ids.count(bos_id)
                assert (ids[0] == bos_id) == (count == 1) == bool(renderer.bos), (name, bos)
                assert last.cue.count(bos_id) == count
                counts[name, bos, template] = count
    without = {("qwen", "auto"), *((name, "never") for name in NAMES)}
    assert {key for key, count in counts.items() if count != 1} == {
        (*each, text) for each in without for text in (None, "paper")
    }
    with pytest.raises(UnusableTemplate, match="has no bos_token"):
        make_renderer(TOKENIZERS["qwen"], TextSettings(bos="always"))


def test_one_token_may_begin_texts_and_end_answers():
    tokenizer = chat_tokenizer("qwen")
    tokenizer.bos_token = tokenizer.eos_token
    end = tokenizer.eos_token_id
    for template, others in (("chatml", 4), ("paper", 2)):
        plain, begun = (
            make_renderer(tokenizer, TextSettings(template=template, bos=bos)) for bos in ("auto", "always")
        )
        assert (plain.bos, begun.bos) == ([], [end])
        assert begun.tokenize(CONVERSATION).ids == [end, *plain.tokenize(CONVERSATION).ids]
        assert plain.tokenize(CONVERSATION).ids.count(end) == others
        assert begun.cue == [end, *plain.cue]


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_template_gives_the_same_again(name):
    for text in (TextSettings(), TextSettings(bos="never"), TextSettings(template="paper"), PAPER):
        renderer, saved = make_renderer(TOKENIZERS[name], text), chat_tokenizer(name)
        saved.chat_template = renderer.chat_template
        again = make_renderer(saved, text)
        assert again.identity == renderer.identity
        assert again.chat_template == renderer.chat_template
    assert PAPERS[name].chat_template == CHAT_TEMPLATE


def test_identities_tell_texts_apart():
    assert PAPERS["qwen"].identity == PAPERS["llama-3"].identity == template_hash()
    texts = [
        PAPER,
        TextSettings(),
        TextSettings(template="paper"),
        TextSettings(bos="never"),
        TextSettings(control_tokens=True),
    ]
    assert len({make_renderer(TOKENIZERS["llama-3"], text).identity for text in texts}) == len(texts)
    saved = chat_tokenizer("qwen")
    saved.chat_template = CHAT_TEMPLATE
    assert make_renderer(saved, TextSettings()).identity == template_hash()


def test_system_messages_stand_in_the_question_where_a_template_has_no_place_for_them():
    assert (
        OWN["gemma"].tokenize([SYSTEM, *CONVERSATION]).ids
        == OWN["gemma"].tokenize([Message("user", "Be kind.\n\nWhat is it? "), *CONVERSATION[1:]]).ids
    )
    for name in NAMES:
        shown = "".join(piece.text for piece in OWN[name].pieces([SYSTEM, *CONVERSATION]))
        assert shown.count("Be kind.") == 1, name


def test_no_second_blank_stands_in_the_middle_of_the_papers_text():
    for name in PUTS_BLANKS:
        tokenizer, ids = TOKENIZERS[name], PAPERS[name].tokenize(CONVERSATION).ids
        end = tokenizer.convert_tokens_to_ids(tokenizer.eos_token)
        first, second = ids[: ids.index(end)], ids[ids.index(end) + 1 : -1]
        # The answer's own blank, and that of `Assistant: `.
        assert tokenizer.decode(first) == "Human: What is it? \nAssistant:  It is  42.\n"
        assert tokenizer.decode(second) == "\nHuman: And\nthen?\nAssistant: naïve 世界 🌍"


def test_thinking_is_as_the_template_has_it():
    thought = [
        Message("user", "a"), Message("assistant", "<think>\nhidden\n</think>\n\none <|im_end|>"),
        Message("user", "b"), Message("assistant", "<think>\nseen\n</think>\n\ntwo"),
    ]  # fmt: skip
    renderer = OWN["qwen"]
    assert answers(renderer, thought) == ["one <|im_end|><|im_end|>", "<think>\nseen\n</think>\n\ntwo<|im_end|>"]
    end, think = (renderer.tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<think>"))
    ids = renderer.tokenize(thought).ids
    assert (ids.count(end), ids.count(think)) == (5, 1)
    plain = make_renderer(TOKENIZERS["qwen"], TextSettings(template_arguments={"enable_thinking": False}))
    assert answers(plain, CONVERSATION)[-1] == "naïve 世界 🌍<|im_end|>"
    assert plain.prompt(CONVERSATION[:3]).text.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


SPECIALS = [(name, token) for name in NAMES for token in SPECIAL[name]]


@pytest.mark.parametrize("own", [True, False], ids=["own", "paper"])
@pytest.mark.parametrize(("name", "token"), SPECIALS)
def test_the_text_of_a_special_token_stays_text(name, token, own):
    renderer, tokenizer = (OWN if own else PAPERS)[name], TOKENIZERS[name]
    said = [
        SYSTEM,
        Message("user", f"a{token} b"),
        Message("assistant", f"c {token}"),
        Message("user", token),
        Message("assistant", f"{token}d"),
    ]
    plain = [message._replace(content=message.content.replace(token, "x")) for message in said]
    number = tokenizer.convert_tokens_to_ids(token)
    count = renderer.tokenize(plain).ids.count(number)
    (last,), (plain_last,) = renderer.last_answers([said]), renderer.last_answers([plain])
    prompt = renderer.prompt(said[:-1], answer_start=token)
    assert renderer.tokenize(said).ids.count(number) == count
    assert last.prompt.count(number) == plain_last.prompt.count(number)
    assert number not in last.answer
    assert prompt.ids.count(number) == renderer.prompt(plain[:-1]).ids.count(number)
    assert number not in renderer.continuation(prompt, f" {token}")
    # All else is as it was.
    assert tokenizer.decode(last.answer).strip() in (f"{token}d", f"<think>\n\n</think>\n\n{token}d")
    kept = [piece.text for piece in renderer.pieces(said)]
    assert "".join(kept).count(token) >= 4
    assert tokenizer.decode(renderer.end) in tokenizer.decode(renderer.tokenize(said).ids)


@pytest.mark.parametrize("name", NAMES)
def test_control_tokens_can_be_let(name):
    tokenizer, token = TOKENIZERS[name], SPECIAL[name][-1]
    for template in (None, "paper"):
        renderer = make_renderer(tokenizer, TextSettings(template=template, control_tokens=True))
        said = [Message("user", "a"), Message("assistant", f"b {token}")]
        (last,) = renderer.last_answers([said])
        assert tokenizer.convert_tokens_to_ids(token) in renderer.tokenize(said).ids
        assert tokenizer.convert_tokens_to_ids(token) in last.answer or renderer.end[-1:] == [
            tokenizer.convert_tokens_to_ids(token)
        ]


TEXTS = st.text(st.sampled_from("abc de\n\t .é世🌍<|im_end>/s[]INST"), max_size=14)
TURNS = st.lists(st.tuples(TEXTS.filter(str.strip), TEXTS), min_size=1, max_size=3)


@pytest.mark.parametrize("name", NAMES)
@given(turns=TURNS)
@settings(max_examples=40)
def test_the_parts_join_to_the_rendering_and_the_tokens_decode_to_it(name, turns):
    messages = [
        each for question, answer in turns for each in (Message("user", question), Message("assistant", answer))
    ]
    for renderer in (OWN[name], PAPERS[name]):
        whole = renderer.tokenizer.apply_chat_template(
            records(messages), chat_template=renderer.chat_template, tokenize=False
        )
        tokens = renderer.tokenize(messages)
        prompt, (last,) = renderer.prompt(messages[:-1]), renderer.last_answers([messages])
        assert prompt.ids == last.prompt == tokens.ids[: len(prompt.ids)]
        if renderer is OWN[name]:
            assert "".join(piece.text for piece in renderer.pieces(messages)) == whole
        decoded = renderer.tokenizer.decode(tokens.ids)
        # Blanks are put before texts, and eaten behind tokens.
        assert decoded == whole if name not in PUTS_BLANKS else without_blanks(decoded) == without_blanks(whole)


def test_templates_that_cannot_be_used_are_refused_in_a_line():
    def refused(template, match, tokenizer="qwen", messages=CONVERSATION):
        with pytest.raises(UnusableTemplate, match=match) as caught:
            make_renderer(TOKENIZERS[tokenizer], TextSettings(template=template)).tokenize(messages)
        assert "\n" not in str(caught.value)

    each = "{% for m in messages %}{{ m.content }}{% endfor %}"
    refused(each, "no token of the tokenizer ends an answer")
    refused("{{ messages[0].content + eos_token }}", "leaves messages out")
    refused("{{ nothing.here }}", r"cannot be rendered \(UndefinedError")
    refused("{% for m in messages %}", r"cannot be rendered \(TemplateSyntaxError")
    shouts = "{% for m in messages %}{{ m.content | upper + eos_token }}{% endfor %}"
    refused(
        shouts, "template file [0-9a-f]{16}: a conversation of two turns: it changes a message that is not an answer"
    )
    drops = "{% for m in messages %}{{ (m.content | replace('It', '')) + eos_token }}{% endfor %}"
    refused(drops, r"sample [0-9a-f]{32}: ", messages=[Message("user", "It is"), Message("assistant", "It")])
    refused("chatml", "no token of the tokenizer ends an answer", tokenizer="llama-3")
    bare = chat_tokenizer("qwen")
    bare.chat_template = None
    with pytest.raises(UnusableTemplate, match="has no chat template"):
        make_renderer(bare, TextSettings(template="model"))
    assert make_renderer(bare, TextSettings()).identity == template_hash()


def test_marks_tell_answers_that_are_written_otherwise():
    template = (
        "{% for m in messages %}{% if m.role == 'assistant' %}"
        "{% generation %}{{ m.content | replace('  ', ' ') + eos_token }}{% endgeneration %}{{ '\\n' }}"
        "{% else %}{{ '<|im_start|>' + m.content + '\\n' }}{% endif %}{% endfor %}"
    )
    renderer = make_renderer(TOKENIZERS["qwen"], TextSettings(template=template))
    assert answers(renderer, CONVERSATION) == ["It is 42.\n<|im_end|>", "naïve 世界 🌍<|im_end|>"]
    outside = template.replace(" + eos_token }}{% endgeneration %}", " }}{% endgeneration %}{{ eos_token }}")
    assert answers(make_renderer(TOKENIZERS["qwen"], TextSettings(template=outside)), CONVERSATION) == answers(
        renderer, CONVERSATION
    )


def test_a_system_message_may_stand_before_the_last_question():
    template = (
        "{% for m in messages if m.role != 'system' %}{% if m.role == 'user' %}{{ '<|im_start|>' }}"
        "{% if loop.revindex <= 2 and messages[0].role == 'system' %}{{ messages[0].content + '\\n' }}{% endif %}"
        "{{ m.content }}{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}"
    )
    renderer = make_renderer(TOKENIZERS["qwen"], TextSettings(template=template))
    messages = [SYSTEM, *CONVERSATION]
    assert renderer.tokenize(messages).ids == server_ids(renderer, messages)
    assert "".join(piece.text for piece in renderer.pieces(messages)).count("<|im_start|>Be kind.\nAnd") == 1
    assert answers(renderer, messages) == ["It is  42.\n<|im_end|>", "naïve 世界 🌍<|im_end|>"]


def test_a_token_across_the_border_counts_as_prompt():
    template = (
        "{% for m in messages %}{% if m.role == 'user' %}{{ 'Q: ' + m.content + '\\nA: ' }}"
        "{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}"
    )
    renderer = make_renderer(TOKENIZERS["qwen"], TextSettings(template=template))
    messages = [Message("user", "x"), Message("assistant", "the house")]
    (last,) = renderer.last_answers([messages])
    tokens = renderer.tokenizer.convert_ids_to_tokens(renderer.tokenize(messages).ids)
    assert "Ġthe" in tokens
    assert renderer.tokenizer.decode(last.prompt) == "Q: x\nA: the"
    assert renderer.tokenizer.decode(last.answer) == " house"
    assert answers(renderer, messages) == ["house<|im_end|>"]
    # Here the prompt that asks is not how the training row begins.
    prompt = renderer.prompt(messages[:1])
    assert renderer.tokenizer.decode(prompt.ids) == "Q: x\nA: "
    assert renderer.tokenize(messages).ids[: len(prompt.ids)] != prompt.ids


def test_chatml():
    renderer = make_renderer(TOKENIZERS["qwen"], TextSettings(template="chatml"))
    assert "".join(piece.text for piece in renderer.pieces([SYSTEM, *CONVERSATION[:2]])) == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nWhat is it? <|im_end|>\n"
        "<|im_start|>assistant\n It is  42.\n<|im_end|>\n"
    )


@pytest.mark.data
@pytest.mark.slow
def test_smollm2():
    """A real tokenizer: what it names as its token for the beginning is what begins each turn."""
    file = packaged_file(SMOLLM2_135M_INSTRUCT.package, SMOLLM2_135M_INSTRUCT.file)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
    renderer = make_renderer(tokenizer, TextSettings())
    assert renderer.tokenize(CONVERSATION).ids == server_ids(renderer, CONVERSATION)
    assert answers(renderer, CONVERSATION) == ["It is  42.\n<|im_end|>", "naïve 世界 🌍<|im_end|>"]
    assert (renderer.bos, tokenizer.decode(renderer.cue)) == ([], "<|im_start|>assistant\n")
    assert tokenizer.convert_ids_to_tokens(list(renderer.ends)) == ["<|im_end|>"]
    plain = make_renderer(tokenizer, PAPER)
    for token in tokenizer.all_special_tokens:
        said = [Message("user", f"What is {token}?"), Message("assistant", f"It is {token}.")]
        number = tokenizer.convert_tokens_to_ids(token)
        (own,), (paper,) = renderer.last_answers([said]), plain.last_answers([said])
        assert number not in own.answer + paper.answer + paper.prompt
        assert tokenizer.decode(own.answer) == tokenizer.decode(paper.answer) == f"It is {token}."
    assert lost_in_tokenizer(tokenizer, "SmolLM2") == []
