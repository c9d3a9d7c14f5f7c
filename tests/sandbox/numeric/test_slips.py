"""A refused loss whose margin has a slip, such as a lost parenthesis, is told so."""

import pytest
from hostile_more import ARGUMENTS

from sandbox.vetting.vet import vet

RIGHT = "rho = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)"


def _loss(margin: str, loss: str = "-F.logsigmoid(beta * rho)") -> str:
    short = (
        "pc, pr, rc, rr = policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps"
    )
    return f"def loss({ARGUMENTS}):\n    {short}\n    rho = {margin}\n    return {loss}\n"


@pytest.mark.parametrize(
    ("margin", "loss", "said"),
    [
        ("(pc - pr) - rc - rr", "-F.logsigmoid(beta * rho)", "-2 reference_rejected_logps instead of 0"),
        ("pc - pr - rc - rr", "F.relu(1 - beta * rho)", "-2 reference_rejected_logps instead of 0"),
        ("(pc - rc) - pr - rr", "(beta * rho - 0.5) ** 2", "-2 reference_rejected_logps instead of 0"),
        ("(pc - rc) + (pr - rr)", "-F.logsigmoid(beta * rho)", "chosen and rejected have the same sign"),
    ],
)
def test_a_refused_loss_is_told_of_the_slip_in_its_margin(margin: str, loss: str, said: str) -> None:
    (found,) = vet(_loss(margin, loss)).refusals
    assert said in found.message and RIGHT in found.remedy


@pytest.mark.parametrize(
    ("margin", "loss"),
    [
        ("(pc - pr) - (rc - rr)", "0.0 * rho"),
        ("pc - pr - rc + rr", "F.logsigmoid(beta * rho)"),
        ("(rc - rr) - (pc - pr)", "-F.logsigmoid(beta * rho)"),
        ("pc - pr", "F.logsigmoid(beta * rho)"),
    ],
)
def test_a_right_margin_or_one_with_the_other_sign_is_no_slip(margin: str, loss: str) -> None:
    for found in vet(_loss(margin, loss)).refusals:
        assert "probably because" not in found.message and RIGHT not in found.remedy


def test_what_the_remedy_says_to_write_is_accepted() -> None:
    assert vet(_loss("(pc - pr) - rc - rr").replace("rho = (pc - pr) - rc - rr", RIGHT)).accepted
