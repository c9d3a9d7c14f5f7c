"""Rewriting of `match kind: case "ipo": ...` to `if kind == "ipo": ...`, before the vocabulary check.

Only patterns that are values are rewritten: constants, dotted names, alternatives of these, and a last `case _`. Every other
pattern would take a value apart; such a statement stays and is refused.
"""

from __future__ import annotations

import ast


def as_branches(node: ast.Match) -> ast.If | None:
    """The statement as a chain of branches; None if a pattern is not a value, a case has a guard, or the subject is no name."""
    if not isinstance(node.subject, ast.Name):
        return None
    cases, otherwise = list(node.cases), []
    match cases[-1]:
        case ast.match_case(pattern=ast.MatchAs(pattern=None, name=None), guard=None, body=body):
            cases, otherwise = cases[:-1], body
    chain: list[ast.stmt] = otherwise
    for case in reversed(cases):
        test = _test(node.subject, case.pattern) if case.guard is None else None
        if test is None:
            return None
        chain = [ast.copy_location(ast.If(test=test, body=case.body, orelse=chain), case.pattern)]
    return chain[0] if cases and isinstance(chain[0], ast.If) else None


def _test(subject: ast.Name, pattern: ast.pattern) -> ast.expr | None:
    """The condition under which a pattern matches: `==` for a value, `is` for None, True and False."""
    operator: ast.cmpop
    match pattern:
        case ast.MatchValue(value=value):
            operator = ast.Eq()
        case ast.MatchSingleton(value=singleton):
            operator, value = ast.Is(), ast.copy_location(ast.Constant(singleton), pattern)
        case ast.MatchOr(patterns=patterns):
            tests = [_test(subject, part) for part in patterns]
            known = [t for t in tests if t is not None]
            if len(known) < len(tests):
                return None
            return ast.copy_location(ast.BoolOp(ast.Or(), known), pattern)
        case _:
            return None
    name = ast.copy_location(ast.Name(subject.id, ast.Load()), subject)
    return ast.copy_location(ast.Compare(left=name, ops=[operator], comparators=[value]), subject)
