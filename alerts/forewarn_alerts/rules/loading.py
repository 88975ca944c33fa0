"""
Rule files into a `RuleSet`: all of them or none, with every fault of every file at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from forewarn_alerts.rules.engine import RuleSet
from forewarn_alerts.rules.examples import read_examples
from forewarn_alerts.rules.expressions import Expression, ExpressionFaults, compile_expression
from forewarn_alerts.rules.faults import RuleFaults
from forewarn_alerts.rules.model import RULE_ERROR, On, Rule
from forewarn_alerts.rules.shape import RuleFile, shape_faults
from forewarn_alerts.rules.summaries import Summary, SummaryFault, parse_summary
from forewarn_alerts.rules.variables import VARIABLES
from forewarn_collector.documents import Document, Fault, read_document

_ENDINGS: Final = (".yaml", ".yml")


def library_folder() -> Path:
    """The folder of the shipped rules."""
    return Path(str(resources.files("forewarn_alerts.rules").joinpath("library")))


def load_rules(paths: Iterable[Path] = (), *, routes: Collection[str] | None = None, library: bool = True) -> RuleSet:
    """
    Load rule files and folders of them, or raise `RuleFaults` with every fault there is.

    A file replaces the shipped rule of the same name. With `routes`, a rule that notifies any other name is a fault.
    """
    faults: list[Fault] = []
    shipped = {rule.id: rule for rule in _load((library_folder(),), routes, faults, shipped=True)} if library else {}
    own = {rule.id: rule for rule in _load(paths, routes, faults, shipped=False)}
    if faults:
        raise RuleFaults(faults)
    return RuleSet((shipped | own).values())


def _load(
    paths: Iterable[Path], routes: Collection[str] | None, faults: list[Fault], *, shipped: bool
) -> Iterator[Rule]:
    seen: dict[str, Path] = {}
    for path in _files(paths, faults):
        if path.stem in seen:
            do = "rename one of them: the file's name is the rule's id"
            faults.append(Fault(path, 1, 1, f"`{path.stem}` is also {seen[path.stem]}", do))
            continue
        seen[path.stem] = path
        rule, found = read_rule(path, routes=routes, shipped=shipped)
        faults += found
        if rule is not None:
            yield rule


def _files(paths: Iterable[Path], faults: list[Fault]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.suffix in _ENDINGS and file.is_file())
        elif path.is_file():
            yield path
        else:
            faults.append(Fault(path, 1, 1, "there is no such file or folder", "name a rule file or a folder of them"))


def read_rule(
    path: Path, *, routes: Collection[str] | None = None, shipped: bool = False
) -> tuple[Rule | None, list[Fault]]:
    """One rule file: the rule, or every fault in it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return None, [Fault(path, 1, 1, f"the file cannot be read: {error}", "make it readable UTF-8 text")]
    document = read_document(path, text, empty="write a rule; see docs/rules")
    if document.value is None:
        return None, document.faults
    if not isinstance(document.value, dict):
        return None, [document.fault((), "a rule file is a map of keys", "see docs/rules for an example")]
    return _Reading(document, routes, shipped).rule()


class _Reading:
    """Gathers the faults of one file: each check looks at the raw value, so that one fault does not hide the next."""

    def __init__(self, document: Document, routes: Collection[str] | None, shipped: bool) -> None:
        self._document = document
        self._routes = routes
        self._shipped = shipped
        self._faults = list(document.faults)

    def rule(self) -> tuple[Rule | None, list[Fault]]:
        file = self._shape()
        self._check_name()
        self._check_after()
        when = self._when()
        summary = self._summary()
        self._check_group_by()
        self._check_notify()
        on = next((moment for moment in On if moment == self._raw("on")), On.START)
        tests, faults = read_examples(self._document, on)
        self._faults += faults
        if self._faults or file is None or when is None:
            return None, self._faults
        rule = Rule(
            id=self._document.path.stem,
            title=file.title,
            severity=file.severity,
            on=file.on,
            when=when,
            after=file.after or timedelta(0),
            group_by=tuple(file.group_by),
            repeat_interval=file.repeat_interval,
            notify=tuple(file.notify),
            summary=summary,
            runbook=file.runbook,
            tests=tests,
            source=self._document.path,
            shipped=self._shipped,
        )
        return rule, []

    def _raw(self, name: str) -> object:
        assert isinstance(self._document.value, dict)
        return self._document.value.get(name)

    def _shape(self) -> RuleFile | None:
        try:
            return RuleFile.model_validate(self._document.value)
        except ValidationError as error:
            self._faults += shape_faults(self._document, error)
            return None

    def _check_name(self) -> None:
        name = self._document.path.stem
        if name == RULE_ERROR or not name.replace("-", "").replace("_", "").isalnum():
            do = "name the file with letters, digits and dashes; its name is the rule's id"
            self._faults.append(Fault(self._document.path, 1, 1, f"`{name}` cannot be the id of a rule", do))

    def _check_after(self) -> None:
        if self._raw("on") == On.MISSING_END and self._raw("after") is None:
            self._add(("on",), "`missing_end` needs `after`", "add how long a call may take, as in `after: 60s`")
        if self._raw("on") in {On.START, On.END} and self._raw("after") is not None:
            self._add(("after",), "`after` is only for `on: missing_end`", "remove it or change `on`", at_key=True)

    def _when(self) -> Expression | None:
        text = self._raw("when")
        if not isinstance(text, str) or not text.strip():
            return None
        try:
            return compile_expression(text)
        except ExpressionFaults as error:
            for fault in error.faults:
                at = (fault.line, fault.column)
                self._faults.append(self._document.fault_within(("when",), at, f"`when`: {fault.message}", fault.do))
            return None

    def _summary(self) -> Summary | None:
        template = self._raw("summary")
        if not isinstance(template, str):
            return None
        try:
            return parse_summary(template)
        except SummaryFault as error:
            message, _, do = str(error).partition("; ")
            self._add(("summary",), f"`summary`: {message}", do)
            return None

    def _check_group_by(self) -> None:
        names = self._raw("group_by")
        known = [name for name, variable in VARIABLES.items() if variable.is_scalar]
        for i, name in enumerate(names if isinstance(names, list) else []):
            if isinstance(name, str) and name not in known:
                self._add(("group_by", i), f"`{name}` is not a value to group by", f"write one of {', '.join(known)}")

    def _check_notify(self) -> None:
        names = self._raw("notify")
        for i, name in enumerate(names if isinstance(names, list) else []):
            if self._routes is not None and isinstance(name, str) and name not in self._routes:
                do = f"known routes: {', '.join(sorted(self._routes))}; add it under [notify] in forewarn.toml"
                self._add(("notify", i), f"`{name}` is not a route", do)

    def _add(self, where: tuple[str | int, ...], message: str, do: str, *, at_key: bool = False) -> None:
        self._faults.append(self._document.fault(where, message, do, at_key=at_key))
