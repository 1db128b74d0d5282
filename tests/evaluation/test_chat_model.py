import pytest
import torch
from lm_eval.api.instance import Instance
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from selection_platform.evaluation.engine import TransformersEngine, cut_into_batches
from selection_platform.text.conversation import to_messages
from selection_platform.text.rendering import CHAT_TEMPLATE, tokenize
from tests.chats import chat_of
from tests.tiny import paper

HISTORY = [
    {"role": "system", "content": "Answer the question."},
    {"role": "user", "content": "Q: What is 2 + 3?\nA:"},
    {"role": "assistant", "content": "The answer is 5."},
    {"role": "user", "content": "Q: What is 3 + 4?\nA:"},
]


@pytest.fixture(scope="module")
def tokenizer():
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bpe.train_from_iterator([message["content"] for message in HISTORY] + ["\nAssistant: The\nHuman: Q: "] * 5, trainer)
    result = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|end|>")
    result.chat_template = CHAT_TEMPLATE
    return result


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).eval()


def ask(chat, kind, *arguments):
    return [Instance(kind, {}, argument, 0, ("task", 0, 1)) for argument in arguments]


def test_the_prompt_is_the_renderers(model, tokenizer):
    chat = chat_of(model, paper(tokenizer), 2)
    text = chat.apply_chat_template(HISTORY)
    assert text == tokenizer.apply_chat_template(HISTORY, tokenize=False)
    assert text == (
        "Answer the question.\nHuman: Q: What is 2 + 3?\nA:\nAssistant: The answer is 5.<|end|>"
        "\nHuman: Q: What is 3 + 4?\nA:\nAssistant: "
    )
    assert chat._prompts[text].ids == tokenize(to_messages(HISTORY), tokenizer).ids


def test_a_begun_answer_has_no_end_of_sequence(model, tokenizer):
    chat = chat_of(model, paper(tokenizer), 2)
    begun = [*HISTORY, {"role": "assistant", "content": "The answer\n"}]
    text = chat.apply_chat_template(begun, add_generation_prompt=False)
    assert text == chat.apply_chat_template(HISTORY) + "The answer\n"
    assert chat._prompts[text].ids == tokenize(to_messages(begun), tokenizer).ids[:-1]


def slow_greedy(model, ids, count):
    ids = list(ids)
    for _ in range(count):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[-count:]


def test_generation_is_greedy_whatever_the_batch(model, tokenizer):
    histories = [[{"role": "user", "content": "word " * count}] for count in (1, 7, 3)]
    expected = None
    for batch_size in (1, 3):
        chat = chat_of(model, paper(tokenizer), batch_size)
        texts = [chat.apply_chat_template(history) for history in histories]
        answers = chat.generate_until(ask(chat, "generate_until", *((text, {"max_gen_toks": 6}) for text in texts)))
        expected = expected or [
            tokenizer.decode(slow_greedy(model, chat._prompts[text].ids, 6)).split("<|end|>")[0] for text in texts
        ]
        assert answers == expected


def test_a_shorter_answer_has_no_padding_behind_its_end(model, tokenizer):
    engine = TransformersEngine(model, paper(tokenizer), 3)
    prompts = [tokenizer.encode(text) for text in ("The answer is", "What is 3 + 4?", "Human: Q: A:")]
    whole = [slow_greedy(model, ids, 12) for ids in prompts]
    # What the first answer has as its fourth token ends a turn, or a stop string.
    last = whole[0][3]
    stop = tokenizer.decode([last])
    ends = [(ids.index(last) + 1) if last in ids else 12 for ids in whole]
    stopped = [next((n for n in range(1, 13) if stop in tokenizer.decode(ids[:n])), 12) for ids in whole]
    assert min(ends) < max(ends)
    assert min(stopped) < max(stopped)
    assert dict(engine.generate(prompts, 12, (stop,))) == {n: whole[n][: stopped[n]] for n in range(3)}
    engine.ends = [last]
    assert dict(engine.generate(prompts, 12, ())) == {n: whole[n][: ends[n]] for n in range(3)}


def test_answers_end_before_the_stop_string(model, tokenizer):
    chat = chat_of(model, paper(tokenizer), 2)
    text = chat.apply_chat_template(HISTORY)
    (whole,) = chat.generate_until(ask(chat, "generate_until", (text, {"max_gen_toks": 12})))
    stop = whole[3:5]
    (cut,) = chat.generate_until(ask(chat, "generate_until", (text, {"max_gen_toks": 12, "until": [stop]})))
    assert cut == whole[: whole.index(stop)]


def test_answers_that_no_end_was_left_for_are_known(model, tokenizer):
    asked = {"max_gen_toks": 12}
    chat = chat_of(model, paper(tokenizer), 2)
    text = chat.apply_chat_template(HISTORY)
    (whole,) = chat.generate_until(ask(chat, "generate_until", (text, asked)))
    assert chat.cut_off == {text}
    stopped = chat_of(model, paper(tokenizer), 2)
    stopped.apply_chat_template(HISTORY)
    stopped.generate_until(ask(stopped, "generate_until", (text, asked | {"until": [whole[3:5]]})))
    assert not stopped.cut_off
    ids = tokenizer.encode("Yes")
    assert chat._answer([*ids, tokenizer.eos_token_id], ()) == ("Yes", True)
    assert chat._answer(ids, ()) == ("Yes", False)


def test_likelihood_of_answers(model, tokenizer):
    chat = chat_of(model, paper(tokenizer), 2)
    texts = [chat.apply_chat_template(HISTORY), chat.apply_chat_template(HISTORY[1:])]
    asked = [(text, answer) for text in texts for answer in ("A", "B", "The answer is 5")]
    results = chat.loglikelihood(ask(chat, "loglikelihood", *asked))
    for (text, answer), (likelihood, greedy) in zip(asked, results, strict=True):
        context, target = chat._prompts[text].ids, tokenizer.encode(answer, add_special_tokens=False)
        log_probs = model(torch.tensor([context + target])).logits[0].log_softmax(dim=-1)
        expected = sum(log_probs[len(context) - 1 + place, token].item() for place, token in enumerate(target))
        assert likelihood == pytest.approx(expected, abs=1e-3)
        assert greedy == (slow_greedy(model, context, len(target)) == target)


def test_long_prompts_lose_their_beginning_and_are_counted(model, tokenizer):
    chat = chat_of(model, paper(tokenizer), 2)
    text = chat.apply_chat_template([{"role": "user", "content": "word " * 300}])
    (answer,) = chat.generate_until(ask(chat, "generate_until", (text, {"max_gen_toks": 8})))
    kept = chat._prompts[text].ids[-120:]
    assert answer == tokenizer.decode(slow_greedy(model, kept, 8)).split("<|end|>")[0]
    assert chat.truncated_prompts == 1


def test_settings_that_a_checkpoint_ships_do_not_change_its_answers(model, tokenizer):
    asked = {"max_gen_toks": 12}
    plain = chat_of(model, paper(tokenizer), 2)
    text = plain.apply_chat_template(HISTORY)
    (expected,) = plain.generate_until(ask(plain, "generate_until", (text, asked)))
    settings = {"no_repeat_ngram_size": 1, "suppress_tokens": tokenizer.encode(expected)[:1], "min_new_tokens": 12}
    model.generation_config = GenerationConfig(**settings, repetition_penalty=9.0, num_beams=3, do_sample=True)
    chat = chat_of(model, paper(tokenizer), 2)
    chat.apply_chat_template(HISTORY)
    assert chat.generate_until(ask(chat, "generate_until", (text, asked))) == [expected]


def test_a_long_prompt_does_not_pad_short_ones():
    lengths = [27, 100, 50, 49, 30, 29, 28]
    # 49 is less than half of 100, and 28 would be a fourth.
    assert list(cut_into_batches(lengths, 3)) == [[1, 2], [3, 4, 5], [6, 0]]
