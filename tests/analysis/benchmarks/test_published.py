"""The published figures, typed a second time in another arrangement, and held against the records of the known losses."""

import pytest

from analysis.benchmarks import published
from sandbox import known

# One row a loss, as the paper's tables have them: MT-Bench; AlpacaEval against GPT-4 (win rate, length-controlled, its error) and
# SFT (the same three); TL;DR against the human summary (win rate, its error, length-controlled) and SFT (win rate, LC).
ROWS = {
    "dpo": (7.888, 11.23, 12.81, 0.66, 78.72, 63.34, 0.30, 88.27, 1.07, 82.82, 54.38, 54.64),
    "kto_pair": (7.603, 12.57, 13.58, 0.67, 78.81, 62.76, 0.31, 85.34, 1.18, 80.26, 51.15, 50.00),
    "dbaql": (7.978, 10.68, 11.41, 0.57, 72.06, 54.40, 0.38, 84.71, 1.21, 78.68, 52.55, 55.14),
    "aql_found": (7.953, 11.11, 13.63, 0.68, 76.34, 60.94, 0.36, 81.87, 1.32, 68.89, 46.00, 50.00),
    "padll": (7.941, 14.07, 14.89, 0.66, 81.10, 64.14, 0.28, 88.54, 1.05, 76.13, 55.34, 55.64),
    "lrml": (7.916, 13.21, 14.78, 0.67, 79.27, 65.18, 0.32, 87.63, 1.10, 81.88, 53.46, 55.10),
    "pfl_found": (7.900, 8.15, 10.67, 0.57, 68.27, 56.14, 0.43, 79.84, 1.35, 69.23, 44.12, 44.57),
}


@pytest.mark.parametrize("loss", ROWS)
def test_the_row_of_a_loss_is_that_of_the_paper(loss: str) -> None:
    of = {column.key: column.figures[loss] for column in published.COLUMNS}
    assert ROWS[loss] == (
        of["mt_bench"].value, of["alpaca_gpt4"].value, of["alpaca_gpt4_lc"].value, of["alpaca_gpt4_lc"].error,
        of["alpaca_sft"].value, of["alpaca_sft_lc"].value, of["alpaca_sft_lc"].error, of["tldr_human"].value,
        of["tldr_human"].error, of["tldr_human_lc"].value, of["tldr_sft"].value, of["tldr_sft_lc"].value,
    )  # fmt: skip


def test_only_the_public_model_lacks_the_tldr_columns() -> None:
    for column in published.COLUMNS:
        missing = set(published.LOSSES) - set(column.figures)
        assert missing == ({published.PUBLIC_DPO} if column.benchmark == "tldr" else set())


def test_the_scores_in_the_headers_of_known_losses_are_the_published_ones() -> None:
    scored = {**published.MT_BENCH.figures, **published.RUN_LOG}
    del scored[published.PUBLIC_DPO]
    headers = {name: known.load(name).scores for name in known.names("preference")}
    assert {name: float(text.removeprefix("MT-Bench ")) for name, text in headers.items() if text} == {
        name: figure.value for name, figure in scored.items()
    }


def test_scored_versions_are_known_losses_and_two_versions_are_told_apart() -> None:
    known_names = known.names("preference")
    assert set(published.LOSSES) - set(known_names) == {published.PUBLIC_DPO}
    assert not {"aql_repository", "pfl_repository"} & set(published.LOSSES)
