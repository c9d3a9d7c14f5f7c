"""Templates of the user's own: what they may replace, how faults are told, and what a run keeps of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from evo.proposing.briefing import checked
from evo.proposing.prompting import BUILT_IN, PROMPTED, PROMPTS, TemplateFault, Templates, kept
from evo.proposing.prompting.templates import CONTEXT
from sandbox.contracts.contract import PREFERENCE


def of(folder: Path, **texts: str) -> Templates:
    """The templates of a folder with these files; `__` in a name stands for a slash."""
    for name, text in texts.items():
        path = folder / (name.replace("__", "/") + ".j2")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return Templates.of(folder)


def hashes(templates: Templates) -> dict[str, str]:
    return {prompt: templates.hash(prompt, PREFERENCE) for prompt in PROMPTED}


def changed(templates: Templates) -> list[str]:
    before = hashes(BUILT_IN)
    return [prompt for prompt, found in hashes(templates).items() if found != before[prompt]]


def test_the_hash_is_of_all_templates_that_an_operator_uses_and_of_no_other(tmp_path: Path) -> None:
    assert len(set(hashes(BUILT_IN).values())) == len(PROMPTED)
    assert changed(of(tmp_path / "a", refine="changed")) == ["refine"]
    assert changed(of(tmp_path / "b", chat_outcome="changed")) == ["chat"]
    assert changed(of(tmp_path / "c", shared__parents="changed")) == list(PROMPTED)
    assert changed(of(tmp_path / "d", contracts__rules_preference="changed")) == list(PROMPTED)
    assert changed(of(tmp_path / "e", replies__json="changed")) == list(PROMPTED)


def test_the_same_templates_in_a_folder_change_nothing(tmp_path: Path) -> None:
    text = (PROMPTS / "refine.j2").read_text("utf-8")
    templates = checked(of(tmp_path, refine=text))
    assert changed(templates) == []


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({"refin": "x"}, ["refin.j2 replaces no template", "did you mean refine.j2"]),
        ({"refine": "one\n{% if %}\n"}, ["refine.j2, line 2: "]),
        (
            {"refine": "one\ntwo\n{{ parnts }}\n"},
            ["refine.j2, line 3: 'parnts' is undefined", "did you mean parents"],
        ),
        ({"refine": "{% if false %}\n{{ secret }}{% endif %}"}, ["refine.j2, line 2: 'secret' is undefined"]),
        ({"combine": "a\n{{ parents[0].fitnes }}\n"}, ["combine.j2, line 2: ", "fitnes"]),
        ({"explore": "\n{{ parents | nofilter }}"}, ["explore.j2, line 2: ", "nofilter"]),
        ({"explore": "\n{{ parents[7].name }}"}, ["explore.j2, line 2: "]),
        ({"chat_outcome": "{{ turn.reply.__class__.__mro__ }}"}, ["chat_outcome.j2, line 1: ", "unsafe"]),
        ({"refine": "{% include '/etc/passwd' %}"}, ["/etc/passwd"]),
        ({"refine": "{{ 1 / 0 }}"}, ["refine.j2, line 1: division by zero"]),
    ],
    ids=[
        "name",
        "syntax",
        "variable",
        "variable not rendered",
        "attribute",
        "filter",
        "index",
        "escape",
        "file",
        "error",
    ],
)
def test_a_fault_is_told_with_file_and_line(tmp_path: Path, texts: dict[str, str], says: list[str]) -> None:
    with pytest.raises(TemplateFault) as caught:
        checked(of(tmp_path, **texts))
    assert all(part in str(caught.value) for part in says), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_templates_and_no_folder_are_faults(tmp_path: Path) -> None:
    with pytest.raises(TemplateFault, match="holds no template"):
        Templates.of(tmp_path)
    with pytest.raises(TemplateFault, match="is no folder"):
        Templates.of(tmp_path / "missing")
    assert Templates.of(None) is BUILT_IN


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "refine.j2").symlink_to(tmp_path / "secret")
    with pytest.raises(TemplateFault, match="symbolic link"):
        Templates.of(tmp_path / "t")


def test_a_run_keeps_each_version_and_a_copy_that_was_changed_does_not_count(tmp_path: Path) -> None:
    first, second = of(tmp_path / "a", refine="first"), of(tmp_path / "b", refine="second", replies__json="x")
    for templates in (first, second, first, BUILT_IN):
        templates.keep(tmp_path / "kept")
    assert {hashes(t)["refine"] for t in kept(tmp_path / "kept")} == {hashes(t)["refine"] for t in (first, second)}
    (tmp_path / "kept" / first.version[:16] / "refine.j2").write_text("other")
    assert [hashes(t) for t in kept(tmp_path / "kept")] == [hashes(second)]
    assert kept(tmp_path / "nothing") == []


def test_every_name_that_a_fault_offers_can_be_used(tmp_path: Path) -> None:
    offered = CONTEXT - {"turn"}  # of chat_outcome.j2 alone
    checked(of(tmp_path, refine="".join(f"{{{{ {name} }}}}\n" for name in sorted(offered)), chat_outcome="{{ turn }}"))
