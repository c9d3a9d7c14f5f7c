"""Changes that did harm: what was made from a loss and scored lower, and when a step tries the opposite.

A weight per item that ruins a loss says which items matter: with the opposite weight the loss is often better than without one.
Losses that scored low hardly ever become parents, so without a rule of its own this would be tried late or never.
"""

from __future__ import annotations

from random import Random

from archive.query import Reader
from archive.records import Operator, Role
from evo.config.proposer_settings import BUILTIN
from evo.proposing.genetic.proposal import Child, Parent
from evo.proposing.genetic.turn import opposite
from evo.search.individuals import Individual
from evo.search.operators import role_of
from evo.search.population import Population
from evo.search.selection.members import Member, SelectionSettings
from evo.search.selection.select import Choice

MOST_CHILDREN = 32
"""Maximum number of the latest children of a parent that the built-in proposer looks at."""

WINDOW = 12
"""Number of latest members among which a harmful change is looked for."""

CLEARLY = 1.5
"""Standard errors by which a loss must score lower than the baseline, at least."""


def due_reversal(population: Population, step: int, settings: SelectionSettings, past: Reader) -> Choice | None:
    """The refinement of a step that turns a harmful weight round; None if the step is an ordinary proposal.

    Its parent is the first one of the harmful loss, or this loss itself if it was not made from others. It is due until that parent
    has another child.
    """
    arm = next((arm for arm in settings.proposers if arm.name == BUILTIN), None)
    if not settings.reversals or arm is None:
        return None
    island = step % settings.islands
    for member in reversed(population.members[-WINDOW:]):
        role = role_of(member.operator)
        # Of a mixture of two losses, the harm may have another cause than a weight.
        if role in (None, Role.COMBINED) or member.island % settings.islands != island or not _is_harmful(member):
            continue
        loss = population.individuals[member.candidate_id]
        parent = _made_from(population, loss)
        since = [child for child in population.children([parent.id])[:1] if child is not loss]
        if population.banned(parent) or parent.failed or since:
            continue
        if opposite(Random(0), tried_from(population, parent.id, past)):
            return Choice(Operator.REFINE, island, (parent.id,), arm.temperatures[0], arm.name)
    return None


def tried_from(population: Population, candidate_id: int, past: Reader) -> Parent:
    """A loss with its latest children, as the built-in proposer takes it."""
    loss, baseline, children = population.individuals[candidate_id], population.baseline, []
    for child in population.children([candidate_id])[:MOST_CHILDREN]:
        graph = population.losses.recorded(child.id, past).graph
        if graph is not None:
            refined = child.trainable and role_of(child.operator) is Role.REFINED
            lower = refined and _is_lower(population, child, loss)
            children.append(Child(graph, child.name, lower))
    lower = baseline is not None and _is_lower(population, loss, baseline)
    return Parent(population.losses.graph(candidate_id, past), loss.name, lower, tuple(children))


def _is_harmful(member: Member) -> bool:
    """Whether a measured loss scored clearly lower than the baseline."""
    if not member.usable or member.fitness is None or member.standard_error is None:
        return False
    return member.fitness < -CLEARLY * member.standard_error


def _made_from(population: Population, loss: Individual) -> Individual:
    """The parent of a refined loss; of any other, the loss itself."""
    return population.individuals[loss.parents[0]] if role_of(loss.operator) is Role.REFINED else loss


def _is_lower(population: Population, loss: Individual, other: Individual) -> bool:
    """Whether it scored lower than the other by more than a standard error, as far as that is known."""
    noise, lead = population.noise_of_differences.pooled, population.lead(other, loss)
    return lead is not None and lead[0] > (noise.error(lead[1]) if noise is not None else 0.0)
