"""Cache of parsed style sheets for all apps of a test process, because parsing takes a third of a second."""

from typing import Any

from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet

_parsed: dict[tuple[object, ...], list[RuleSet]] = {}
_parse = Stylesheet._parse_rules


def _parse_once(self: Stylesheet, *source: Any, **more: Any) -> list[RuleSet]:
    key = (*source, *sorted(more.items()), frozenset(self._variables.items()))
    if key not in _parsed:
        _parsed[key] = _parse(self, *source, **more)
    return list(_parsed[key])


def share() -> None:
    """Have apps reuse the rules that another has parsed from the same source with the same variables."""
    Stylesheet._parse_rules = _parse_once  # type: ignore[method-assign]
