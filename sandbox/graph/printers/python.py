"""VerifiedGraph -> Python source, for readers and prompts. Vetting turns it back into the same graph. No torch.

Prints only operation names, numbers, and names from fixed tables, so no text that a model wrote can become code.
"""

from __future__ import annotations

from sandbox.contracts.contract import contract_named
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import Node
from sandbox.graph.operations import OPERATIONS, SOURCES, computes_in_floats
from sandbox.graph.operations.parts.printed import Text, Written
from sandbox.graph.operations.parts.python import number, size
from sandbox.graph.printers.names import function_name, known_names, uses

_LONG = 64
"""Length in characters above which an expression gets a name."""


def to_python(graph: VerifiedGraph, name: str = "loss") -> str:
    """The loss as a Python function with its imports. `name` may be any text and is converted to an identifier.

    Linear in the size of the graph. Vetting the result gives a graph with the same canonical hash.
    """
    printer = _Printer(graph)
    body = printer.body()
    signature = contract_named(graph.contract).signature
    code = "\n".join([f"def {function_name(name)}({signature}):", *(f"    {line}" for line in body)]) + "\n"
    imports = [i for i, used in ((_MATH, "math."), (_TORCH, "torch."), (_F, "F.")) if used in code]
    if imports[:1] == [_MATH] and len(imports) > 1:
        imports.insert(1, "")
    return "\n".join([*imports, "", "", code]) if imports else code


def to_expression(graph: VerifiedGraph, index: int, longest: int = 72) -> str:
    """One value of the loss as a Python expression of about `longest` characters at most, for tables.

    Usual terms have their names (`rho`). Longer operands are written as an ellipsis, with the name of their operation. Linear in
    the size of the graph.
    """
    return _Printer(graph).expression(index, longest)


def body_lines(graph: VerifiedGraph) -> list[str]:
    """The lines of the printed function's body: assignments, then the return statement."""
    return _Printer(graph).body()


_MATH, _TORCH, _F = "import math", "import torch", "import torch.nn.functional as F"


class _Printer:
    def __init__(self, graph: VerifiedGraph) -> None:
        self.graph = graph
        self.contract = contract_named(graph.contract)
        self.types = graph.types
        self.names = known_names(graph)
        self.uses = uses(graph)
        self.texts: list[Text] = []
        self.lines: list[str] = []
        self.temporaries = 0

    def body(self) -> list[str]:
        """The lines of the function's body."""
        for i, node in enumerate(self.graph.nodes):
            text = self._text(i, node)
            if i != self.graph.output and node.op not in SOURCES and self._bound(i, text):
                name = self.names.get(i) or self._temporary()
                self.lines.append(f"{name} = {text.text}")
                text = Text(name)
            self.texts.append(text)
        return [*self.lines, f"return {self.texts[self.graph.output].text}"]

    def expression(self, index: int, longest: int) -> str:
        """The text of one node."""
        for i, node in enumerate(self.graph.nodes[: index + 1]):
            text = self._text(i, node)
            if i in self.names:
                text = Text(self.names[i])
            elif i != index and len(text.text) > longest // 2:
                sign = node.op in ("neg", "add", "sub", "mul", "div")
                text = Text("…" if sign else f"{node.op}(…)")
            self.texts.append(text)
        return self.texts[index].text

    def _temporary(self) -> str:
        self.temporaries += 1
        return f"t{self.temporaries}"

    def _bound(self, index: int, text: Text) -> bool:
        return index in self.names or self.uses[index] > 1 or len(text.text) > _LONG

    def _text(self, index: int, node: Node) -> Text:
        if node.op == "input":
            return Text(str(node.attrs["name"]))
        if node.op == "const" or index in self.graph.constants:
            return number(self.graph.constants[index])
        operation = OPERATIONS[node.op]
        operands = [self.texts[a] for a in node.args]
        types = [self.types[a] for a in node.args]
        floating = computes_in_floats(node.op, self.types[index].dtype)
        written = Written(node.op, operation.attrs, node.attrs, operands, types, floating, self.contract)
        if node.op == "size":
            return Text(size(written, node.attrs["symbol"]))
        on_numbers = operation.on_numbers
        if on_numbers is not None and on_numbers.written and all(t.is_number for t in types):
            return Text(f"{on_numbers.written}({', '.join(written.texts)})")
        return operation.python(written)
