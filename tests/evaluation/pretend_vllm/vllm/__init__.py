"""What `vllm_process` uses of vLLM, computed with transformers one row at a time. PRETEND names a fault to have."""

import os
import signal
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

FAULT = os.environ.get("PRETEND", "")
if FAULT == "no dependency":
    import a_module_that_is_not_there  # noqa: F401  # pyright: ignore[reportMissingImports]
__version__ = "9.9.9" if FAULT == "other version" else "0.32.0+cpu"


class SamplingParams:
    def __init__(self, *, stop=(), stop_token_ids=(), logprob_token_ids=None, max_tokens=1, **fixed):
        self.stop, self.ends, self.tokens, self.most = stop, stop_token_ids, logprob_token_ids, max_tokens
        assert fixed["temperature"] == 0
        assert fixed["ignore_eos"]


class LLM:
    def __init__(self, model, *, dtype, max_model_len, generation_config, **_):
        assert generation_config == "vllm"
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype)).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        if FAULT == "other weights":
            self.model.lm_head.weight.data *= 1.01
        self.llm_engine, self.waiting, self.asked = self, deque(), 0
        self.model_config = SimpleNamespace(max_model_len=16 if FAULT == "little memory" else max_model_len)

    def enqueue(self, prompts, params, use_tqdm):
        names = [f"{self.asked + place}-{'0123abc'}" for place in range(len(prompts))]
        self.waiting.extend(zip(names, prompts, params, strict=True))
        self.asked += len(prompts)
        return names

    def has_unfinished_requests(self):
        return bool(self.waiting)

    def step(self):
        if FAULT == "dies":
            raise MemoryError("no room for keys and values")
        if FAULT == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if FAULT.startswith("waits"):
            Path(FAULT.removeprefix("waits ")).write_text(str(os.getpid()))
            time.sleep(600)
        # The last one first: outputs come as they are finished.
        name, prompt, params = self.waiting.pop()
        output = self._answer(prompt["prompt_token_ids"], params)
        return [SimpleNamespace(request_id=name.partition("-")[0], finished=True, outputs=[output])]

    @torch.inference_mode()
    def _answer(self, ids, params):
        assert len(ids) + params.most <= self.model_config.max_model_len
        new, log_probs = [], None
        while len(new) < params.most:
            row = self.model(torch.tensor([[*ids, *new]])).logits[0, -1].float().log_softmax(dim=-1)
            if params.tokens is not None:
                log_probs = [{token: SimpleNamespace(logprob=row[token].item()) for token in params.tokens}]
            new.append(int(row.argmax()))
            if new[-1] in params.ends or any(stop in self.tokenizer.decode(new) for stop in params.stop):
                break
        return SimpleNamespace(token_ids=new, logprobs=log_probs)
