"""Control variates of the measured reward: the luck of each drawn word, subtracted without changing the expected reward.

The reward of a sampled review depends on the words that happened to be drawn. When word a is drawn after the prefix s, the term

    V(s, a) - sum over b of pi(b | s) V(s, b)

has the expectation 0 under the policy pi that draws it, whatever V is. So the sum of these terms over a review may be subtracted
from its reward: the mean over reviews keeps its expectation exactly, and its variance falls by as much as V predicts of the reward
(a control variate; Greensmith et al. 2004 use them for policy gradients). V is linear,

    V(s, a) = sum over k of g_k(s) W[k, a]

with states g_k(s) that say how the word list would count a word after this prefix. W is fitted once per judge, by ridge
regression, on reviews of the reference that no measurement uses: fitted on the measured reviews, it would bias the mean.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fitness.sentiment.reviews import NEGATED, SATURATION, VALENCE

SCOPE = 3  # words, as in `lexicon_reward`
RIDGE = 30.0
"""Penalty of a squared weight; the increments of a review are of the order 1."""


class WordStates:
    """States g of every prefix of a batch of reviews."""

    COUNT = 4

    def __init__(self, words: Sequence[str]) -> None:
        self._valence = torch.tensor([VALENCE.get(word, 0.0) for word in words])
        self._negation, self._stop = words.index("not"), words.index(".")

    def __call__(self, ids: Tensor) -> Tensor:
        """States before each word of `ids` (n, t), shape (n, t, COUNT).

        Always 1; 1 within the scope of a negation; the slope of the word list's saturation at the sum so far; the sign of that sum.
        """
        negated = torch.zeros(ids.shape, dtype=torch.bool)
        for back in range(SCOPE, 0, -1):
            before = torch.nn.functional.pad(ids, (back, 0), value=-1)[:, : ids.size(1)]
            negated = (negated & (before != self._stop)) | (before == self._negation)
        counted = self._valence[ids] * torch.where(negated, NEGATED, 1.0)
        total = counted.cumsum(dim=1) - counted
        slope = 1.0 / (1.0 + total.square() / SATURATION)
        return torch.stack([torch.ones_like(total), negated.float(), slope, torch.tanh(total / 4.0)], dim=2)


def increments(ids: Tensor, chances: Tensor, states: Tensor, written: Tensor) -> Tensor:
    """Sum over each review of g_k(s) (1[a is drawn] - pi(a | s)), shape (n, COUNT * vocabulary). Its expectation is 0.

    `ids` (n, t) are the drawn words, `chances` (n, t, vocabulary) the probabilities that they were drawn with, `written` (n, t) is
    True up to and including the end of the review.
    """
    drawn = torch.zeros_like(chances).scatter_(2, ids[:, :, None], 1.0)
    return torch.einsum("ntk,ntv->nkv", states * written[:, :, None], drawn - chances).flatten(1)


def fit(features: Tensor, rewards: Tensor) -> Tensor:
    """Weights W of the ridge regression of `rewards` (n,) on the increments `features` (n, f), shape (f,)."""
    gram = features.T @ features + RIDGE * torch.eye(features.size(1))
    weights: Tensor = torch.linalg.solve(gram, features.T @ (rewards - rewards.mean()))
    return weights
