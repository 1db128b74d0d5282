"""A small sentence encoder of random weights."""

import json

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

WORDS: list[str] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "write", "about", "a", "red", "fox", "old", "quiet", "river"]


def save_encoder(folder, pooling="pooling_mode_mean_tokens", modules=("Transformer", "Pooling", "Normalize")):
    """An encoder of random weights, as sentence-transformers saves one."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=24, initializer_range=1.0,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    paths = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    listed = [{"type": f"sentence_transformers.models.{kind}", "path": paths.get(kind, "x")} for kind in modules]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    config = {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": False, pooling: True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
    return folder
