"""Saving of a policy for use outside of the task, with a tokenizer that can be given a chat."""

import copy
from pathlib import Path

from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

CHAT_TEMPLATE = "{{ bos_token }}{% for message in messages %} {{ message['content'] }}{% endfor %}"
"""The review so far: the model knows no roles."""


def save(policy: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """Write model and tokenizer to the folder `path`, as transformers' `save_pretrained` does."""
    policy.save_pretrained(path)
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(path)
