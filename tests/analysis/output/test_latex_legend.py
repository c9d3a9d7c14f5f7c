"""Symbols of a loss in LaTeX are explained, where they occur."""

import pytest
from written import written

from analysis.output.latex_legend import with_legend
from sandbox.graph.loss_graph import verify
from sandbox.graph.printers import to_latex


@pytest.mark.parametrize(
    ("expression", "contract", "symbols"),
    [
        ("-F.logsigmoid(x)", "preference", ["\\ell"]),
        ("-F.logsigmoid(x) * torch.sigmoid(-x).detach()", "preference", ["\\ell", "\\bot(...)"]),
        ("-F.logsigmoid(x) * (1 + (x > 0).float())", "preference", ["\\ell", "[...]"]),
        ("F.cross_entropy(z, y, reduction='none')", "classification", ["z", "y"]),
    ],
)
def test_the_symbols_that_occur_are_explained_in_comments(expression: str, contract: str, symbols: list[str]) -> None:
    latex = to_latex(verify(written(expression, contract)))
    told = with_legend(latex)
    assert told.endswith(latex)
    comments = told.removesuffix(latex).splitlines()
    assert [line.removeprefix("% ").partition(": ")[0] for line in comments] == symbols
