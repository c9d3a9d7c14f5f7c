"""YAML within bounds: what is hostile in it costs nothing, and is told with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evo.config.schema import Config
from evo.config.yaml_values import LONGEST, YAMLFault, dump_yaml, load_yaml

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(12)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAUGHS, "an alias (*a); write the value out in its place in mine.yaml, line 2, column 8"),
        ("a: &a [*a]", "an alias"),
        ("[" * 100_000, "nested more than 32 levels deep"),
        ("{" * 100_000, "nested more than 32 levels deep"),
        ("- " * 100_000, "nested more than 32 levels deep"),
        ("? " * 100_000, "nested more than 32 levels deep"),
        ("x" * (LONGEST + 1), f"longer than {LONGEST} bytes"),
        ("seed: " + "9" * 5000, "a number of 5000 characters"),
        ("seed: 0x" + "f" * 5000, "a number of 5002 characters"),
        ("seed: " + ":".join(["59"] * 1000), "a number of 2999 characters"),
        ("when: 2001-99-99", "a value that is no timestamp in mine.yaml, line 1, column 7"),
        ("!!int ''", "a value that is no int"),
        ("!!float ''", "a value that is no float"),
        ("!!bool perhaps", "a value that is no bool"),
        ("!!map x", "does not fit its tag"),
        ("!!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("a: 1\nb: 2\na: 3", "the key 'a' is given twice in mine.yaml, line 3"),
        ("a: {<<: {b: 1, b: 2}}", "the key 'b' is given twice"),
        ("a: {<<: [{b: 1}, {c: 1, c: 2}]}", "the key 'c' is given twice"),
        ("<<: {a: 1}\n<<: {b: 2}", "the key '<<' is given twice"),
        ("a: &x {b: 1}\nc: {<<: *x}", "an alias (*x); write the value out"),
        ("a: {<<: 3}", "expected a mapping or list of mappings for merging"),
        ("a: {<<: [{b: 1}, 3]}", "expected a mapping for merging"),
        ("? [a]\n: b", "unhashable key"),
        ("a: b: c", "not allowed here"),
        ('a: "b\\0c"', "a NUL character (\\0), which no name may hold in mine.yaml, line 1, column 4"),
        ("\x00", "special characters are not allowed"),
        ("--- a\n--- b", "another document"),
    ],
    ids=lambda value: value[:20],
)
def test_what_may_not_be_is_told(text: str, words: str) -> None:
    with pytest.raises(YAMLFault) as fault:
        load_yaml(text, "mine.yaml")
    assert words in str(fault.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<<: {a: 1, b: 2}\nb: 3", {"a": 1, "b": 3}),
        ("b: 3\n<<: {a: 1, b: 2}", {"a": 1, "b": 3}),
        ("<<: [{a: 1}, {a: 2, b: 2}]", {"a": 1, "b": 2}),
        ("<<: {<<: {a: 1, b: 2}, b: 3}\nc: {<<: {}}", {"a": 1, "b": 3, "c": {}}),
        ("<<: {a: {b: 1}}\na: {c: 2}", {"a": {"c": 2}}),
        ("'<<': 1", {"<<": 1}),
    ],
)
def test_merged_keys_count_where_the_mapping_has_none_of_its_own(text: str, value: object) -> None:
    assert load_yaml(text) == value


@given(st.binary(max_size=300) | st.text(alphabet="[]{}:-?&*!|>'\"%@`#, \n\tab019.", max_size=300).map(str.encode))
def test_any_bytes_are_a_value_or_a_fault(text: bytes) -> None:
    try:
        load_yaml(text)
    except YAMLFault as fault:
        assert str(fault)


def test_what_is_written_can_be_read_although_a_value_is_there_twice() -> None:
    shared = ["a", {"b": 1}]
    written = dump_yaml({"first": shared, "second": shared})
    assert load_yaml(written) == {"first": shared, "second": shared} and "&" not in written
    settings = Config().model_dump(mode="json")
    assert load_yaml(dump_yaml(settings)) == settings
