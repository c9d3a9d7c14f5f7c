"""Templates of the prompts: the built-in ones, and a folder of the user's that replaces some of them.

Threat model. A template is code of the user's, rendered in Jinja's sandbox: it gets the data of one prompt and nothing else, and
cannot reach Python's internals. Covered: a template of another person in a run directory cannot read files or run programs. Not
covered: a template that takes for ever to render. Texts of models are data for templates and never template source.
"""

from __future__ import annotations

import hashlib
import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archive.disk.files import read_bounded, replace, there
from archive.errors import UnsafeFile
from archive.records import SUMMARISE
from evo.config.schema import ConfigError
from evo.proposing.prompting import words
from evo.proposing.prompting.texts import fenced, json_text, line, numbered, quoted
from evo.search.operators import CHAT, OPERATORS, SAMPLE
from fitness.task.faults import did_you_mean
from sandbox.contracts.contract import Contract
from sandbox.contracts.references import located

if TYPE_CHECKING:
    import jinja2

PROMPTS = Path(__file__).resolve().parent.parent / "prompts"
PROMPTED = (*(operator.prompt for operator in OPERATORS if operator.prompt), CHAT, SAMPLE)
"""Names of the prompts that ask for a loss: operators, and the modes `chat` and `sample`."""
EVERY_PROMPT = (*PROMPTED, SUMMARISE)
CONTEXT = frozenset(
    {
        *(
            "contract",
            "rules",
            "facts",
            "task",
            "parents",
            "landmarks",
            "measured",
            "best",
            "where",
            "tried",
            "nearby",
            "wanted",
        ),
        *("vocabulary", "reply_format", "example", "left_out", "turn", "summary"),
    }
)
"""Names that a template may use."""

for _operator in OPERATORS:
    if _operator.prompt and not (PROMPTS / f"{_operator.prompt}.j2").is_file():
        raise ValueError(f"operator {_operator.name}: prompt: there is no template {_operator.prompt}.j2 in {PROMPTS}")


class TemplateFault(ConfigError):
    """A template that cannot be used. The message gives file, line and fault."""


@dataclass(frozen=True)
class Templates:
    """The built-in templates with replacements by name, such as `refine.j2`. `folder` names their place in messages.

    Files are read once, so that the prompts of a session are of one version.
    """

    replaced: Mapping[str, str]
    folder: str = ""
    _hashes: dict[tuple[str, str | None, str | None], str] = field(default_factory=dict, repr=False, compare=False)
    _texts: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, folder: str | Path | None) -> Templates:
        """The templates with those of a folder; None for the built-in ones. Raises TemplateFault. Nothing is rendered."""
        if folder is None:
            return BUILT_IN
        place, names = Path(folder), _names()
        if not place.is_dir():
            raise TemplateFault(
                f"prompt.templates: {place} is no folder; name one with templates, or leave the key out"
            )
        found = {}
        for path in sorted(_files(place)):
            name = path.relative_to(place).as_posix()
            if name not in names:
                raise TemplateFault(
                    f"prompt.templates: {path} replaces no template; expected one of {', '.join(sorted(names))}"
                    f"{did_you_mean(name, names)}"
                )
            try:
                found[name] = read_bounded(path).decode("utf-8")
            except (OSError, UnsafeFile, ValueError) as error:
                raise TemplateFault(f"prompt.templates: cannot read {path}: {error}") from None
        if not found:
            raise TemplateFault(
                f"prompt.templates: {place} holds no template; expected one of {', '.join(sorted(names))}"
            )
        return cls(found, str(place))

    @property
    def version(self) -> str:
        """Digest of the replacements; empty for the built-in templates."""
        return _digest((name, text.encode()) for name, text in sorted(self.replaced.items())) if self.replaced else ""

    def keep(self, folder: Path) -> None:
        """Keep a copy of the replacements in a run's `folder`, under their digest, so that the run can be replayed.

        The copy's folder has the time of the last call, so that the newest is that of the last session.
        """
        place = folder / self.version[:16]
        for name, text in self.replaced.items():
            if not there(place / name):
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                replace(place / name, text)
        if self.replaced:
            os.utime(place)

    def hash(self, prompt: str, contract: Contract) -> str:
        """SHA-256 of every template that a prompt may be rendered from, and of the texts that a package's contract brings.

        Raises ValueError for what is not in `EVERY_PROMPT`.
        """
        key = (prompt, contract.rules, contract.facts)
        if key not in self._hashes:
            self._hashes[key] = self._hash(prompt, contract)
        return self._hashes[key]

    def _hash(self, prompt: str, contract: Contract) -> str:
        require_known(prompt)
        others = {*EVERY_PROMPT} - {prompt}
        used = [path for path in PROMPTS.rglob("*.j2") if path.stem.partition("_")[0] not in others]
        parts = [(path.relative_to(PROMPTS).as_posix(), path) for path in used]
        for reference in (contract.rules, contract.facts):
            path = located(reference, contract.name) if reference else None
            if path and PROMPTS not in path.resolve().parents:
                parts.append((path.name, path))
        sources = ((name, self._bytes(name, path)) for name, path in sorted(parts, key=lambda part: part[0]))
        return _digest(sources)

    def text_of(self, contract: Contract, part: str) -> str:
        """A text that a contract's record supplies for the prompt, `rules` or `facts`; empty if it supplies none."""
        reference = getattr(contract, part)
        if not reference:
            return ""
        if reference not in self._texts:
            path = located(reference, f"contract {contract.name!r}: {part}").resolve()
            name = path.relative_to(PROMPTS).as_posix() if PROMPTS in path.parents else ""
            self._texts[reference] = self._bytes(name, path).decode("utf-8").strip()
        return self._texts[reference]

    def fill(self, template: str, values: Mapping[str, Any]) -> str:
        """A rendered template. Raises TemplateFault with file and line."""
        import jinja2

        try:
            return self._environment.get_template(template).render(values)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateFault(f"{error.filename or template}, line {error.lineno}: {error.message}") from None
        except Exception as error:
            place = self._place(error)
            if place is None:
                raise
            raise TemplateFault(f"{place}: {line(str(error)) or type(error).__name__}") from None

    def check_names(self) -> None:
        """Compile the replacements, and check the names in them. Raises TemplateFault with file and line."""
        import jinja2
        from jinja2 import meta, nodes

        for name, text in self.replaced.items():
            try:
                tree = self._environment.parse(text, name, str(Path(self.folder, name)))
                unknown = meta.find_undeclared_variables(tree) - CONTEXT - {*self._environment.globals}
            except jinja2.TemplateSyntaxError as error:
                raise TemplateFault(f"{Path(self.folder, name)}, line {error.lineno}: {error.message}") from None
            for node in tree.find_all(nodes.Name):
                if node.name in unknown:
                    raise TemplateFault(
                        f"{Path(self.folder, name)}, line {node.lineno}: {node.name!r} is undefined; expected one of "
                        f"{', '.join(sorted(CONTEXT))}{did_you_mean(node.name, CONTEXT)}"
                    )

    def _bytes(self, name: str, path: Path) -> bytes:
        return self.replaced[name].encode() if name in self.replaced else path.read_bytes()

    def _place(self, error: BaseException) -> str | None:
        """File and line of the last template in a traceback; None if the error is not in a replacement."""
        files = {str(Path(self.folder, name)) for name in self.replaced}
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
        return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else None

    @cached_property
    def _environment(self) -> jinja2.Environment:
        import jinja2
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        def load(name: str) -> tuple[str, str, Callable[[], bool]] | None:
            if name in self.replaced:
                return self.replaced[name], str(Path(self.folder, name)), lambda: True
            path = PROMPTS / name
            return (path.read_text("utf-8"), str(path), lambda: True) if name in _names() else None

        environment = ImmutableSandboxedEnvironment(
            loader=jinja2.FunctionLoader(load),
            undefined=jinja2.StrictUndefined,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters.update(
            quoted=quoted,
            fenced=fenced,
            json_text=json_text,
            numbered=numbered,
            line=line,
            figure=words.figure,
            figures=words.figures,
            fitness=words.fitness,
            difference=words.difference,
            words=words.words,
            finding_line=words.finding_line,
            kind_of_argument=words.kind_of_argument,
        )
        return environment


BUILT_IN = Templates({})


def require_known(prompt: str) -> None:
    """Raises ValueError for what is not in `EVERY_PROMPT`."""
    if prompt not in EVERY_PROMPT:
        raise ValueError(f"no prompt {prompt!r}: expected one of {', '.join(EVERY_PROMPT)}")


def kept(folder: Path) -> list[Templates]:
    """The copies of templates that a run kept, with those whose content is not that of their name left out."""
    if not folder.is_dir() or folder.is_symlink():
        return []
    found = [Templates.of(place) for place in sorted(folder.iterdir()) if place.is_dir() and not place.is_symlink()]
    return [templates for templates in found if Path(templates.folder).name == templates.version[:16]]


def _names() -> set[str]:
    return {path.relative_to(PROMPTS).as_posix() for path in PROMPTS.rglob("*.j2")}


def _files(folder: Path) -> Iterator[Path]:
    """The files below a folder, without following links to folders; hidden ones are left out."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in files if not name.startswith("."))


def _digest(sources: Iterator[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for name, source in sources:
        digest.update(f"{name} {len(source)}\n".encode() + source)
    return digest.hexdigest()
