"""Rules for pairs: what can be wrong with a pair after rendering, tokenising and cutting, and what follows from it."""

from dataclasses import dataclass
from enum import StrEnum


class PairOutcome(StrEnum):
    """Consequence of a rule that applies."""

    REFUSED = "refused"  # the run cannot be right
    LEFT_OUT = "left out"  # the pair expresses no preference
    NOTED = "noted"


@dataclass(frozen=True)
class PairRule:
    """A rule: what is wrong with a pair, the consequence and the remedy."""

    outcome: PairOutcome
    words: str
    remedy: str
    above: float = 0.0
    """Refused if the rule applies to more than this fraction of the pairs, else noted."""


RULES = {
    "too long": PairRule(
        PairOutcome.LEFT_OUT,
        "a prompt that is too long",
        "raise fitness.max_length or set fitness.max_prompt_length to cut prompts",
    ),
    "blank": PairRule(PairOutcome.LEFT_OUT, "an empty completion", "give pairs whose completions say something"),
    "hidden": PairRule(
        PairOutcome.LEFT_OUT,
        "a completion that the chat template does not show",
        "set fitness.chat_template to a Jinja file that shows the content and the tool calls of turns",
    ),
    "equal": PairRule(
        PairOutcome.LEFT_OUT,
        "completions that are equal once rendered and tokenised",
        "give pairs that differ in what the model sees",
    ),
    "equal unknown": PairRule(
        PairOutcome.LEFT_OUT,
        "completions that differ only in words unknown to the tokenizer",
        "use a model and tokenizer for this language and alphabet",
    ),
    "equal when cut": PairRule(
        PairOutcome.LEFT_OUT, "completions that differ only beyond fitness.max_length", "raise fitness.max_length"
    ),
    "in two parts": PairRule(
        PairOutcome.LEFT_OUT,
        "a prompt that occurs in another part, once rendered and tokenised",
        "write a prompt in the same way in all of its pairs",
    ),
    "pair in two parts": PairRule(
        PairOutcome.LEFT_OUT,
        "a pair that occurs in another part, once rendered and tokenised",
        "leave out copies of pairs",
    ),
    "not rendered": PairRule(
        PairOutcome.REFUSED,
        "the chat template cannot render these conversations",
        "set fitness.chat_template to a Jinja file that can, or remove from the data what the template does not support",
    ),
    "parts as text": PairRule(
        PairOutcome.REFUSED,
        "the chat template expects text and renders a list of parts in Python's notation",
        "join the parts' text into one string, or set fitness.chat_template to a Jinja file that shows parts",
    ),
    "beyond the embedding": PairRule(
        PairOutcome.REFUSED,
        "tokens that the model has no embedding for",
        "use the tokenizer that the model was trained with, or resize the model's embedding to it and save both",
    ),
    "prompt repeated": PairRule(
        PairOutcome.REFUSED,
        "both completions begin with a copy of the prompt",
        "remove the copies, or leave out the column prompt: then the common beginning of the two is the prompt",
        above=0.5,
    ),
    "prompt in one": PairRule(
        PairOutcome.REFUSED,
        "one of the completions begins with a copy of the prompt",
        "remove the copy",
        above=0.5,
    ),
    "unknown": PairRule(
        PairOutcome.REFUSED,
        "more than half of the completions' tokens are unknown to the tokenizer",
        "use a model and tokenizer for this language and alphabet",
        above=0.5,
    ),
    "other prompt": PairRule(
        PairOutcome.REFUSED,
        "the chat template renders the prompt differently when a completion follows, so its end became part of the completions",
        "set fitness.chat_template to a Jinja file that always renders a prompt in the same way",
        above=0.5,
    ),
    "other generation prompt": PairRule(
        PairOutcome.NOTED,
        "the generation prompt of the chat template differs from the text before the answers in the data",
        "training leaves out the difference; set fitness.chat_template if that is not intended",
    ),
    "merged": PairRule(
        PairOutcome.NOTED,
        "the prompt's last tokens merge with the completions' first tokens and count as part of the completions",
        "put the space between them at the beginning of the completions",
    ),
    "header": PairRule(
        PairOutcome.NOTED,
        "the chat template writes text between prompt and answer, which is trained on as part of the answers",
        "to exclude it, use a template that writes this text as part of the generation prompt",
    ),
    "turn not shown": PairRule(
        PairOutcome.NOTED,
        "the chat template does not show all turns of the prompt unchanged",
        "set fitness.chat_template to a Jinja file that does",
    ),
    "answer not shown": PairRule(
        PairOutcome.NOTED,
        "the chat template does not show all of the answer",
        "set fitness.chat_template to a Jinja file that does",
    ),
    "calls not shown": PairRule(
        PairOutcome.NOTED,
        "the chat template does not show tool calls",
        "set fitness.chat_template to a Jinja file that does",
    ),
    "tools not shown": PairRule(
        PairOutcome.NOTED,
        "the chat template does not show the tools",
        "set fitness.chat_template to a Jinja file that does",
    ),
    "cut": PairRule(
        PairOutcome.NOTED,
        "a completion extends beyond fitness.max_length and is cut there",
        "raise fitness.max_length if its end matters",
    ),
    "two beginnings": PairRule(
        PairOutcome.NOTED,
        "the beginning-of-text token occurs twice",
        "remove it from the data's text or from the template: the tokenizer adds one",
    ),
    "no end": PairRule(
        PairOutcome.NOTED,
        "no end token follows a completion, so training does not teach the model to stop",
        "set fitness.chat_template to a Jinja file that ends answers with the end token",
    ),
    "two ends": PairRule(
        PairOutcome.NOTED,
        "the same end token follows a completion twice",
        "remove it from the data's text or from the template",
    ),
    "does not stop": PairRule(
        PairOutcome.NOTED,
        "answers end with a token at which the model does not stop generating",
        "set eos_token in its tokenizer_config.json, or eos_token_id in its generation_config.json",
    ),
    "special text": PairRule(
        PairOutcome.NOTED,
        "special tokens are written out in the data's text and are read as special tokens",
        "remove them from the data where no turn begins or ends",
    ),
}
"""All rules, in the order in which they are reported. Of the rules that leave a pair out, only the first that applies counts."""
