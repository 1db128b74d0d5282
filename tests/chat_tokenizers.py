"""Small tokenizers with the special tokens of well-known families, and chat templates in their style, written here.

Each has the traits that make its family hard: a token for the beginning that the template writes (Llama 3, Gemma) or
that the tokenizer adds too (Llama 3, Mistral), blanks put before texts (Mistral, Phi-3), tokens that eat the blanks
behind them (Phi-3), system messages that are refused (Gemma) or written into the question (Mistral), thinking that is
taken out of earlier answers (Qwen), an end of turn that is not the end-of-sequence token (Llama 3, Gemma, Phi-3).
"""

from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = ["Answer the question about the house and the river. It is 12 + 30 = 42, naïve.\n\nuser assistant system"] * 3

LLAMA_3 = """\
{{- bos_token }}
{%- if not date is defined %}{% set date = strftime_now("%d %b %Y") %}{% endif %}
{%- for message in messages %}
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
{%- if message['role'] == 'system' %}{{- 'Today: ' + date + '\\n\\n' }}{% endif %}
{{- message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""

QWEN = """\
{%- if messages[0]['role'] != 'system' %}{{- '<|im_start|>system\\nBe helpful.<|im_end|>\\n' }}{% endif %}
{%- set last = namespace(question=-1) %}
{%- for message in messages %}
{%- if message.role == 'user' %}{% set last.question = loop.index0 %}{% endif %}
{%- endfor %}
{%- for message in messages %}
{%- set content = message.content %}
{%- if message.role == 'assistant' %}
{%- set thinking = '' %}
{%- if '</think>' in content %}
{%- set thinking = content.split('</think>')[0].split('<think>')[-1].strip('\\n') %}
{%- set content = content.split('</think>')[-1].lstrip('\\n') %}
{%- endif %}
{%- if loop.index0 > last.question %}
{%- set content = '<think>\\n' + thinking + '\\n</think>\\n\\n' + content %}
{%- endif %}
{%- endif %}
{{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and not enable_thinking %}{{- '<think>\\n\\n</think>\\n\\n' }}{% endif %}
{%- endif %}"""

GEMMA = """\
{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}
{%- for message in messages %}
{%- set role = 'model' if message['role'] == 'assistant' else message['role'] %}
{{- '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<start_of_turn>model\\n' }}{% endif %}"""

MISTRAL = """\
{{- bos_token }}
{%- set system = '' %}
{%- for message in messages %}
{%- if message['role'] == 'system' %}{%- set system = message['content'] + '\\n\\n' %}
{%- elif message['role'] == 'user' %}
{{- '[INST] ' + (messages[0]['content'] + '\\n\\n' if loop.index0 == 1 and messages[0]['role'] == 'system' else '') }}
{{- message['content'] + ' [/INST]' }}
{%- else %}{{- ' ' + message['content'] + eos_token }}{% endif %}
{%- endfor %}"""

PHI_3 = """\
{%- for message in messages %}
{{- '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>\\n' }}{%- else %}{{- eos_token }}{% endif %}"""

SPECIAL: dict[str, list[str]] = {
    "llama-3": ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    "qwen": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "gemma": ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"],
    "mistral": ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"],
    "phi-3": ["<unk>", "<s>", "</s>", "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"],
}
NAMES = tuple(SPECIAL)


def chat_tokenizer(name: str) -> Any:
    """The tokenizer of a family, with its chat template."""
    made = {
        "llama-3": lambda: _bytes("llama-3", LLAMA_3, "<|begin_of_text|>", "<|eot_id|>", adds_bos=True),
        "qwen": lambda: _bytes("qwen", QWEN, None, "<|im_end|>", plain=("<think>", "</think>", "<tool_call>")),
        "gemma": lambda: _sentencepiece("gemma", GEMMA, "<bos>", "<eos>", blank=False),
        "mistral": lambda: _sentencepiece("mistral", MISTRAL, "<s>", "</s>", blank=True),
        "phi-3": lambda: _sentencepiece("phi-3", PHI_3, "<s>", "<|endoftext|>", blank=True, rstrip=True),
    }[name]()
    made.name_or_path = name
    return made


def _bytes(
    name: str, template: str, bos: str | None, eos: str, *, adds_bos: bool = False, plain: tuple[str, ...] = ()
) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL[name]])
    backend.add_tokens([AddedToken(token, special=False, normalized=False) for token in plain])
    if adds_bos:
        begin = processors.TemplateProcessing(f"{bos} $A", special_tokens=[(bos, backend.token_to_id(bos or ""))])
        backend.post_processor = processors.Sequence([backend.post_processor, begin])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=bos, eos_token=eos, chat_template=template)


def _sentencepiece(
    name: str, template: str, bos: str, eos: str, *, blank: bool, rstrip: bool = False
) -> PreTrainedTokenizerFast:
    """BPE on characters with bytes to fall back to, as sentencepiece models are converted; blanks are `▁`."""
    special = SPECIAL[name]
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(vocab_size=160, special_tokens=special, show_progress=False)
    backend.train_from_iterator(CORPUS, trainer)
    learnt = backend.get_vocab()
    vocabulary = {token: number for number, token in enumerate(sorted(learnt, key=learnt.__getitem__))}
    for byte in range(256):
        vocabulary.setdefault(f"<0x{byte:02X}>", len(vocabulary))
    merges = [merge for merge in _merges(backend) if merge[0] in vocabulary and merge[1] in vocabulary]
    backend = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    replace = normalizers.Replace(" ", "▁")
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace]) if blank else replace
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence([*parts, decoders.Strip(" ", 1, 0)] if blank else parts)
    backend.add_special_tokens(
        [AddedToken(token, special=True, normalized=False, rstrip=rstrip and "|" in token) for token in special]
    )
    begin = processors.TemplateProcessing(f"{bos} $A", special_tokens=[(bos, backend.token_to_id(bos))])
    backend.post_processor = begin
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=bos, eos_token=eos, unk_token="<unk>", chat_template=template
    )


def _merges(backend: Tokenizer) -> list[tuple[str, str]]:
    import json

    return [tuple(merge) for merge in json.loads(backend.to_str())["model"]["merges"]]
