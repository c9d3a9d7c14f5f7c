"""Loading of policy model, reference and tokenizer; each candidate gets an untrained copy of the policy."""

import contextlib
import copy
import importlib.util
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from accelerate import PartialState
from peft import LoraConfig
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
    PreTrainedTokenizerBase,
)
from transformers.integrations import deepspeed
from trl.trainer.utils import add_fused_lm_head

from fitness.preference.options import Options
from fitness.preference.pairs.limits import positions
from fitness.preference.pairs.sources import loading
from fitness.score import bad_data
from fitness.training.trl_patches import unwrap_forward

EMPTY_SYSTEM_TURN = (
    "{%- if messages[0]['role'] != 'system' %}"
    "{%- set messages = [{'role': 'system', 'content': ''}] + messages %}"
    "{%- endif %}"
)
"""Beginning of a chat template: conversations without a system turn get an empty one."""

BFLOAT16_SINCE = 8
"""Lowest major compute capability of NVIDIA GPUs with bfloat16 (Ampere)."""


def check_device(options: Options) -> None:
    """Raises EvaluationFailed("bad_data") if the machine lacks what the options require."""
    gpu = torch.cuda.is_available()
    if options.device == "gpu" and not gpu:
        raise bad_data(
            "fitness.device=gpu, but torch finds no GPU",
            "set fitness.device=auto, or check the driver and torch's build",
        )
    if options.quantization and not gpu:
        raise bad_data("fitness.quantization needs a GPU, but torch finds none", "do not set it")
    if options.quantization and importlib.util.find_spec("bitsandbytes") is None:
        raise bad_data("fitness.quantization needs bitsandbytes", "pip install bitsandbytes")
    if options.precision.startswith("bfloat16") and not on_cpu(options) and not has_bfloat16():
        raise bad_data("this GPU has no bfloat16", "set fitness.precision=float32")
    _check_attention(options)


def _check_attention(options: Options) -> None:
    """Raises EvaluationFailed for FlashAttention on an unsuitable GPU or precision: its kernels compute in half precision only."""
    name = options.attention or ""
    if not name.startswith("flash_attention"):
        return
    remedy = "set fitness.attention=sdpa, or leave it out"
    if on_cpu(options):
        raise bad_data(f"fitness.attention={name} needs a GPU, and training runs on the CPU here", remedy)
    if not has_bfloat16():
        raise bad_data(
            f"fitness.attention={name} needs a GPU that has bfloat16 (compute capability 8.0 or higher), and this one has not",
            remedy,
        )
    if precision(options) == "float32":
        raise bad_data(
            f"fitness.attention={name} computes in bfloat16 only, and fitness.precision is float32",
            "set fitness.precision=bfloat16, or fitness.attention=sdpa",
        )


def on_cpu(options: Options) -> bool:
    """Whether training runs on the CPU."""
    return options.device == "cpu" or not torch.cuda.is_available()


def has_bfloat16() -> bool:
    """Whether all visible GPUs have bfloat16 in hardware. Older GPUs emulate it, slower than float32; this does not count."""
    # This call checks the current GPU only.
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        return False
    others = () if torch.version.hip else range(torch.cuda.device_count())
    return all(torch.cuda.get_device_properties(gpu).major >= BFLOAT16_SINCE for gpu in others)


def precision(options: Options) -> str:
    """The precision of the options, with `auto` resolved for this machine."""
    if options.precision != "auto":
        return options.precision
    return "float32" if on_cpu(options) or not has_bfloat16() else "bfloat16"


def notes_on_precision(options: Options) -> tuple[str, ...]:
    """Sentences on what a GPU without bfloat16 computes differently; empty for other machines."""
    if on_cpu(options) or has_bfloat16():
        return ()
    notes = []
    if options.precision == "auto":
        notes.append("fitness.precision=auto is float32 here: this GPU has no bfloat16.")
    if options.quantization == "4bit":
        notes.append("Computation with the 4-bit weights is in float32: this GPU has no bfloat16.")
    return tuple(notes)


def load_tokenizer(options: Options, *, conversational: bool) -> PreTrainedTokenizerBase:
    """The model's tokenizer, with a padding token and, for conversations, a chat template."""
    with loading("tokenizer", options.model):
        tokenizer = AutoTokenizer.from_pretrained(
            options.model, revision=options.model_revision, trust_remote_code=False
        )
    if tokenizer.eos_token is None:
        raise bad_data(
            f"the tokenizer of {options.model!r} has no end token", "set eos_token in its tokenizer_config.json"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # masked out wherever it pads
    if options.chat_template is not None:
        with loading("chat template", str(options.chat_template)):
            tokenizer.chat_template = options.chat_template.read_text("utf-8")
    if conversational and not tokenizer.chat_template:
        raise bad_data(
            f"the data are conversations and the tokenizer of {options.model!r} has no chat template",
            "set fitness.chat_template to a Jinja file, or use the model's chat variant",
        )
    if conversational and options.empty_system_turn:
        tokenizer.chat_template = EMPTY_SYSTEM_TURN + str(tokenizer.chat_template)
    return tokenizer


def check_context(options: Options) -> str | None:
    """The commit of a model on the hub, else None. Raises EvaluationFailed("bad_data") for a max_length beyond its context."""
    with loading("model", options.model):
        config = AutoConfig.from_pretrained(options.model, revision=options.model_revision, trust_remote_code=False)
    context = positions(config.get_text_config().to_dict())
    if context is not None and options.max_length > context:
        raise bad_data(
            f"fitness.max_length is {options.max_length} tokens and the model's context {context}",
            f"set fitness.max_length to {context} or less",
        )
    return getattr(config, "_commit_hash", None)


class Policies:
    """Source of untrained policies and of the reference.

    With LoRA, one base model is kept and each adapter is trained on it. For full fine-tuning, each candidate gets a copy of a model
    kept on the CPU. In a launch group of several processes the model is loaded again for each candidate: a wrapped model cannot be
    restored, and one kept copy per process would fill the host's memory.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.dtype = torch.bfloat16 if self._weights_in_bfloat16() else torch.float32
        self.commit = check_context(options)
        keep = options.lora is not None or PartialState().num_processes == 1
        self.pristine: Any = self._load() if keep else None

    def fresh(self) -> Any:
        """An untrained policy; with LoRA the base model, to which the trainer adds an adapter."""
        if self.options.lora is not None:
            return self.pristine
        if self.pristine is None:
            return self._load()
        policy = copy.deepcopy(self.pristine)
        unwrap_forward(policy)
        return policy

    def adapter(self) -> LoraConfig | None:
        """The configuration of the adapter that the trainer adds; None for full fine-tuning."""
        if self.options.lora is None:
            return None
        targets = self.options.lora.target_modules
        return LoraConfig(
            r=self.options.lora.r,
            lora_alpha=self.options.lora.alpha,
            lora_dropout=0.0,
            target_modules=targets if isinstance(targets, str) else list(targets),
            task_type="CAUSAL_LM",
        )

    def take_back(self, trained: Any) -> None:
        """Remove the adapter from the base model after training; a fully trained policy is dropped.

        None means that the trainer could not be created: the state of the base model is then unknown, and it is loaded again.
        """
        if self.options.lora is None:
            return
        if trained is None:
            self.pristine = self._load()
        else:
            self.pristine = trained.unload()
            unwrap_forward(self.pristine)
            _remove_gradient_hooks(self.pristine)
            # peft leaves this attribute, and would warn about it when the next adapter is added.
            with contextlib.suppress(AttributeError):
                del self.pristine.peft_config

    @contextlib.contextmanager
    def reference(self, trained: Any, device: torch.device) -> Iterator[nn.Module]:
        """The untrained model on `device`: the policy with its adapter disabled, or the kept model."""
        if self.options.lora is not None:
            with trained.disable_adapter():
                yield trained
            return
        with never_sharded():
            model = (self.pristine or self._load()).to(device).eval()
        try:
            yield model
        finally:
            model.to("cpu")

    def _weights_in_bfloat16(self) -> bool:
        chosen = precision(self.options)
        # The frozen base of an adapter is never updated, so rounding it once loses nothing.
        return chosen == "bfloat16_weights" or (chosen == "bfloat16" and self.options.lora is not None)

    def _load(self) -> Any:
        kwargs: dict[str, Any] = {}
        if self.options.quantization == "4bit":
            kwargs["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                # Not float16: losses and margins of long completions exceed its range.
                bnb_4bit_compute_dtype=torch.bfloat16 if has_bfloat16() else torch.float32,
            )
        elif self.options.quantization == "8bit":
            kwargs["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
        if self.options.quantization:
            kwargs["device_map"] = {"": PartialState().local_process_index}
        if self.options.attention:
            kwargs["attn_implementation"] = self.options.attention
        with loading("model", self.options.model):
            model, found = AutoModelForCausalLM.from_pretrained(
                self.options.model,
                revision=self.options.model_revision,
                dtype=self.dtype,
                trust_remote_code=False,
                output_loading_info=True,
                **kwargs,
            )
        check_whole(self.options.model, found["missing_keys"], "a causal language model")
        unwrap_forward(model)  # stores the model's own `forward`
        add_fused_lm_head(model)
        # The model's defaults, such as a repetition penalty, would apply to every `generate` call that does not override them.
        model.generation_config = GenerationConfig(eos_token_id=model.generation_config.eos_token_id)
        return model


def check_whole(name: str, missing: Iterable[str], expected: str) -> None:
    """Raises EvaluationFailed("bad_data") if weights are missing: transformers would initialise them at random."""
    first = next(iter(sorted(missing)), None)
    if first is not None:
        raise bad_data(
            f"{name!r} has no weights {first!r}: expected {expected}", "name a model that was trained as one"
        )


def _remove_gradient_hooks(model: nn.Module) -> None:
    """Undo all calls of `enable_input_require_grads` (gradient checkpointing); a model can undo only the last one itself."""
    for module in model.modules():
        for key, hook in list(module._forward_hooks.items()):
            if "enable_input_require_grads" in getattr(hook, "__qualname__", ""):
                del module._forward_hooks[key]


@contextlib.contextmanager
def never_sharded() -> Iterator[None]:
    """Load models unsharded inside the block. Under DeepSpeed ZeRO-3 they would be sharded, for its engine only."""
    configuration = deepspeed._hf_deepspeed_config_weak_ref
    deepspeed.unset_hf_deepspeed_config()
    try:
        yield
    finally:
        deepspeed._hf_deepspeed_config_weak_ref = configuration
