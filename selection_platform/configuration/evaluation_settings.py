"""The part of a profile for evaluation: the benchmarks, and what answers them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from selection_platform.configuration.base import FOLDER, SPEED, UPKEEP, Later, Settings
from selection_platform.configuration.settings import Name

AnswerRule = Literal["exact", "number", "letter", "contains"]


class BenchmarkSettings(Settings):
    """One benchmark: which lm-eval task or file of your own, how many shots, how many items."""

    task: Annotated[str, Later("")] = Field(
        default="", description="Name of the lm-eval task; those that start with offline_ are the platform's."
    )
    file: Annotated[str | None, Later(None)] = Field(
        default=None,
        description="In place of a task, a file of your own: a task file of lm-eval (.yaml), or prompts with their "
        "references (.jsonl), which need a `rule`. A relative path starts from the profile's folder.",
    )
    rule: Annotated[AnswerRule | None, Later(None)] = Field(
        default=None,
        description="When an answer to a prompt of `file` is right: it is the reference (`exact`), its final answer is "
        "the same number (`number`) or letter (`letter`), or the reference stands in it (`contains`).",
    )
    shots: int | None = Field(
        default=None, ge=0, description="Worked examples before each question; the task's own number if left out."
    )
    limit: int | None = Field(default=None, gt=0, description="Items of each task or subtask; all if left out.")
    max_new_tokens: int | None = Field(
        default=None, gt=0, description="Longest answer, in tokens; the task's own limit if left out."
    )

    # Kept beside `file`, which stays as written, as with base models.
    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _one_origin(self, info: ValidationInfo) -> "BenchmarkSettings":
        if bool(self.task) == (self.file is not None):
            raise ValueError("name exactly one of task and file, such as `task: offline_gsm8k`")
        self._folder = Path((info.context or {}).get(FOLDER) or "")
        of_lm_eval = self.file is None or self.file.endswith((".yaml", ".yml"))
        if of_lm_eval and self.rule is not None:
            raise ValueError("rule: lm-eval's tasks have rules of their own; leave it out")
        if not of_lm_eval and self.rule is None:
            raise ValueError(f"rule: {self.file} needs one: {', '.join(get_args(AnswerRule))}")
        if not of_lm_eval and self.shots:
            raise ValueError("shots: a file of prompts has no worked examples; leave it out")
        return self

    @property
    def path(self) -> Path | None:
        """The file that `file` names."""
        return None if self.file is None else self._folder / Path(self.file).expanduser()

    if TYPE_CHECKING:
        # pydantic makes frozen models hashable, and pyright does not know it.
        def __hash__(self) -> int: ...


class EvaluationSettings(Settings):
    """What a model is measured on."""

    benchmarks: dict[Name, BenchmarkSettings] = Field(
        default={
            "bbh": BenchmarkSettings(task="offline_bbh"),
            "gsm8k": BenchmarkSettings(task="offline_gsm8k"),
            "ifeval": BenchmarkSettings(task="offline_ifeval"),
            "mmlu": BenchmarkSettings(task="offline_mmlu"),
        },
        description="The benchmarks, by names of your choice. The default ones need no network.",
    )

    @field_validator("benchmarks")
    @classmethod
    def _check_benchmark_names(cls, benchmarks: dict[str, BenchmarkSettings]) -> dict[str, BenchmarkSettings]:
        for name in benchmarks.keys() & {"average", "held_out_loss"}:
            raise ValueError(f"{name}: results have this name for another number; name the benchmark otherwise")
        return benchmarks

    @model_validator(mode="after")
    def _engine_is_whole(self) -> "EvaluationSettings":
        of_vllm = {"vllm_version": self.vllm_version, "vllm_python": self.vllm_python}
        for name, value in of_vllm.items():
            if self.engine == "vllm" and value is None:
                raise ValueError(f"{name}: `engine: vllm` needs it; see docs/benchmarks.md")
            if self.engine != "vllm" and value is not None:
                raise ValueError(f"{name}: is for `engine: vllm`; write that too, or leave it out")
        if self.vllm_python is not None and not Path(self.vllm_python).expanduser().is_absolute():
            raise ValueError(f"vllm_python: {self.vllm_python} is not an absolute path; write it from / or ~")
        return self

    engine: Annotated[Literal["transformers", "vllm"], Later("transformers")] = Field(
        default="transformers",
        description="What answers the prompts. vLLM was about twice as fast on a CPU, and was not timed on a GPU. It "
        "runs in an environment of its own (docs/benchmarks.md). Answers may differ where two tokens are nearly as "
        "likely as each other, so another engine, or another version of vLLM, makes results due.",
    )
    vllm_version: Annotated[str | None, Later(None)] = Field(
        default=None, description="With `engine: vllm`: its version, such as 0.32.0. Another one is refused."
    )
    vllm_python: Annotated[str | None, UPKEEP] = Field(
        default=None,
        description="With `engine: vllm`: the Python of the environment that has vLLM, such as /opt/vllm/bin/python.",
    )
    vllm_memory: Annotated[float, SPEED] = Field(
        default=0.85,
        gt=0,
        lt=1,
        description="With `engine: vllm`: share of a GPU's memory that it takes. On a CPU it takes 2 GB and the "
        "weights.",
    )
    batch_size: Annotated[int, SPEED] = Field(
        default=8, gt=0, description="Prompts that are answered at once; vLLM decides that itself."
    )
    run_generated_code: Literal["never", "sandboxed", "where_contained"] = Field(
        default="never",
        description="HumanEval runs code that the model wrote. `sandboxed`: only in a sandbox (docs/security.md), and "
        "a run is refused where there can be none. `never`: HumanEval is left out. `where_contained`: the one or the "
        "other, by the machine.",
    )
    held_out_limit: int | None = Field(
        default=None,
        gt=0,
        description="Held-out conversations of each pool that the held-out loss is measured on; all if left out.",
    )
