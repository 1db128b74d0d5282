"""What this project imports from transformers, each from where it is defined: pyright reads 2,500 files less.

transformers' own `__init__` is a star import of every model there is, and pyright reads them all for one name.
A name that is missing here is an "unknown import symbol" of pyright: add it.
"""

from transformers.cache_utils import DynamicCache as DynamicCache
from transformers.configuration_utils import PreTrainedConfig as PreTrainedConfig
from transformers.generation.configuration_utils import GenerationConfig as GenerationConfig
from transformers.generation.stopping_criteria import (
    StoppingCriteria as StoppingCriteria,
)
from transformers.generation.stopping_criteria import (
    StoppingCriteriaList as StoppingCriteriaList,
)
from transformers.masking_utils import AttentionMaskInterface as AttentionMaskInterface
from transformers.modeling_utils import AttentionInterface as AttentionInterface
from transformers.modeling_utils import PreTrainedModel as PreTrainedModel
from transformers.models.auto.configuration_auto import AutoConfig as AutoConfig
from transformers.models.auto.modeling_auto import AutoModel as AutoModel
from transformers.models.auto.modeling_auto import AutoModelForCausalLM as AutoModelForCausalLM
from transformers.models.auto.tokenization_auto import AutoTokenizer as AutoTokenizer
from transformers.models.bert.configuration_bert import BertConfig as BertConfig
from transformers.models.bert.modeling_bert import BertModel as BertModel
from transformers.models.cohere.configuration_cohere import CohereConfig as CohereConfig
from transformers.models.gemma2.configuration_gemma2 import Gemma2Config as Gemma2Config
from transformers.models.gemma3.configuration_gemma3 import (
    Gemma3Config as Gemma3Config,
)
from transformers.models.gemma3.configuration_gemma3 import (
    Gemma3TextConfig as Gemma3TextConfig,
)
from transformers.models.gpt2.configuration_gpt2 import GPT2Config as GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel as GPT2LMHeadModel
from transformers.models.gpt_neox.configuration_gpt_neox import GPTNeoXConfig as GPTNeoXConfig
from transformers.models.granite.configuration_granite import GraniteConfig as GraniteConfig
from transformers.models.llama.configuration_llama import LlamaConfig as LlamaConfig
from transformers.models.llama.modeling_llama import LlamaForCausalLM as LlamaForCausalLM
from transformers.models.mamba.configuration_mamba import MambaConfig as MambaConfig
from transformers.models.mamba.modeling_mamba import MambaForCausalLM as MambaForCausalLM
from transformers.models.mistral.configuration_mistral import MistralConfig as MistralConfig
from transformers.models.mixtral.configuration_mixtral import MixtralConfig as MixtralConfig
from transformers.models.mixtral.modeling_mixtral import MixtralForCausalLM as MixtralForCausalLM
from transformers.models.olmo2.configuration_olmo2 import Olmo2Config as Olmo2Config
from transformers.models.phi.configuration_phi import PhiConfig as PhiConfig
from transformers.models.phi3.configuration_phi3 import Phi3Config as Phi3Config
from transformers.models.qwen2.configuration_qwen2 import Qwen2Config as Qwen2Config
from transformers.models.qwen2_moe.configuration_qwen2_moe import Qwen2MoeConfig as Qwen2MoeConfig
from transformers.models.qwen3.configuration_qwen3 import Qwen3Config as Qwen3Config
from transformers.models.rwkv.configuration_rwkv import RwkvConfig as RwkvConfig
from transformers.models.t5.configuration_t5 import T5Config as T5Config
from transformers.models.vit.configuration_vit import ViTConfig as ViTConfig
from transformers.tokenization_utils_base import PreTrainedTokenizerBase as PreTrainedTokenizerBase
from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast as PreTrainedTokenizerFast
from transformers.trainer import Trainer as Trainer
from transformers.trainer_callback import (
    PrinterCallback as PrinterCallback,
)
from transformers.trainer_callback import (
    TrainerCallback as TrainerCallback,
)
from transformers.trainer_callback import (
    TrainerControl as TrainerControl,
)
from transformers.trainer_callback import (
    TrainerState as TrainerState,
)
from transformers.trainer_utils import set_seed as set_seed
from transformers.training_args import TrainingArguments as TrainingArguments
