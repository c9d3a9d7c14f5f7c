"""The reward of an answer by a reward model: a sequence classification model of Hugging Face."""

from collections.abc import Sequence
from typing import Any

import torch
from accelerate import PartialState
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from fitness.preference.evaluation.answers import shown
from fitness.preference.options import RewardModelEvaluation
from fitness.preference.pairs.limits import beyond_reward_model, positions, reward_length
from fitness.preference.pairs.sources import loading
from fitness.preference.pairs.tokens import TEMPLATE_ERRORS
from fitness.preference.policies import check_whole, never_sharded
from fitness.score import EvaluationFailed, bad_data

CLASSIFIER = "a sequence classification model, as reward models are stored"
AN_ANSWER = "An answer. "  # at least one token


class RewardModel:
    """A reward model: its one output, or the log-probability or probability of one of its classes."""

    def __init__(self, options: RewardModelEvaluation) -> None:
        self.options = options
        self._max_length = options.max_length

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on how texts are cut."""
        notes = []
        if self._max_length < self.options.max_length:
            notes.append(
                f"Texts for the reward model are cut on the left to its context of {self._max_length} tokens. The default "
                f"max_length of the evaluation, {self.options.max_length}, is longer."
            )
        if self.tokenizer.model_max_length < self._max_length:
            notes.append(
                f"The reward model's tokenizer is made for {self.tokenizer.model_max_length} tokens, and texts are cut to "
                f"{self._max_length}: lower max_length of the evaluation if the model was not trained on longer texts."
            )
        return tuple(notes)

    def check(self) -> None:
        """Raises EvaluationFailed("bad_data") if the model is no classifier, or `label` or `max_length` does not fit it."""
        name, label = self.options.model, self.options.label
        with loading("reward model", name):
            config = AutoConfig.from_pretrained(name, revision=self.options.revision, trust_remote_code=False)
        if all("CausalLM" in kind for kind in config.architectures or [""]):
            raise bad_data(f"{name!r} is a language model: expected {CLASSIFIER}", "name a reward model")
        outputs = config.num_labels
        if outputs > 1 and label is None:
            labels = ", ".join(f"{number} ({text})" for number, text in config.id2label.items())
            raise bad_data(f"the reward model {name!r} has {outputs} classes", f"set label to one of {labels}")
        if label is not None and outputs == 1:
            raise bad_data(
                f"the reward model {name!r} has one output, which is the reward itself, and label is {label}",
                "do not set label",
            )
        if label is not None and label >= outputs:
            raise bad_data(
                f"the reward model {name!r} has no class {label}",
                f"set label below {outputs}",
            )
        if beyond := beyond_reward_model(self.options, positions(config.to_dict())):
            raise EvaluationFailed("bad_data", f"max_length of the evaluation by {name!r}: {beyond}")

    def prepare(self, state: PartialState) -> None:
        """Load model and tokenizer. Raises EvaluationFailed("bad_data")."""
        name = self.options.model
        with loading("reward model", name), never_sharded():
            self.tokenizer = AutoTokenizer.from_pretrained(
                name, revision=self.options.revision, trust_remote_code=False, truncation_side="left"
            )
            model, found = AutoModelForSequenceClassification.from_pretrained(
                name,
                revision=self.options.revision,
                dtype=torch.bfloat16 if state.device.type == "cuda" else torch.float32,
                trust_remote_code=False,
                output_loading_info=True,
            )
        check_whole(name, found["missing_keys"], CLASSIFIER)
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        if self.tokenizer.pad_token is None:
            raise bad_data(
                f"the tokenizer of the reward model {name!r} has neither padding nor end token",
                "set pad_token in its tokenizer_config.json",
            )
        self._max_length = reward_length(self.options, positions(model.config.to_dict()))
        model.config.pad_token_id = self.tokenizer.pad_token_id
        self.model = model.eval().requires_grad_(False).to(state.device)

    def rehearse(self, prompts: Sequence[Any]) -> None:
        """Render and tokenise all prompts, and score a text of full length. Raises EvaluationFailed("bad_data")."""
        name = self.options.model
        try:
            texts = [self._text(prompt, AN_ANSWER) for prompt in prompts]
        except TEMPLATE_ERRORS as error:
            raise bad_data(
                f"the chat template of the reward model {name!r} cannot render the test prompts ({type(error).__name__}: {error})",
                "remove from the data what the template does not support, or use another reward model",
            ) from error
        ids: list[list[int]] = self._encoded(texts)["input_ids"]
        known = self.model.get_input_embeddings().weight.shape[0]
        highest = max(self.tokenizer.pad_token_id, *(max(text, default=0) for text in ids))
        if highest >= known:
            raise bad_data(
                f"the tokenizer of the reward model {name!r} gives token {highest} "
                f"({self.tokenizer.convert_ids_to_tokens(highest)!r}), its embedding has {known}",
                "use the tokenizer that the model was trained with",
            )
        try:  # one text of full length, and one that is padded to it
            self._scored([texts[0], self._text(prompts[0], AN_ANSWER * self._max_length)])
        except (IndexError, ValueError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "memory" in str(error).lower():
                raise
            raise bad_data(
                f"the reward model {name!r} cannot score a text of {self._max_length} tokens "
                f"({type(error).__name__}: {' '.join(str(error).split())[:300]})",
                "set max_length of the evaluation to the model's context, or use another reward model",
            ) from error

    def rewards(self, answered: Sequence[tuple[Any, str]]) -> list[float]:
        """Rewards of (raw prompt, answer) pairs."""
        return self._scored([self._text(*both) for both in answered])

    @torch.no_grad()
    def _scored(self, texts: Sequence[str]) -> list[float]:
        inputs = self._encoded(texts, padding=True, return_tensors="pt").to(self.model.device)
        logits = self.model(**inputs).logits.float()
        label = self.options.label
        if label is None:
            values: Tensor = logits[:, 0]
        elif self.options.reward == "probability":
            values = logits.softmax(dim=1)[:, label]
        else:
            values = logits.log_softmax(dim=1)[:, label]
        return values.tolist()

    def _encoded(self, texts: Sequence[str], **settings: Any) -> Any:
        return self.tokenizer(
            list(texts),
            truncation=True,
            max_length=self._max_length,
            add_special_tokens=not self.tokenizer.chat_template,  # a template writes them itself
            **settings,
        )

    def _text(self, prompt: Any, answer: str) -> str:
        if self.tokenizer.chat_template:
            turns = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
            turns = [*turns, {"role": "assistant", "content": answer}]
            return str(self.tokenizer.apply_chat_template(turns, tokenize=False))
        return f"{shown(prompt)} {answer}"
