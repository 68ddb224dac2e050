"""Templates: compiled once, kept, and rendered under limits."""

import re
from collections.abc import Mapping
from typing import Any

from jinja2 import Template, meta

from whimbrel.expr.cache import Cache
from whimbrel.expr.datastore import Decrypter
from whimbrel.expr.errors import ExpressionError, as_expression_error
from whimbrel.expr.json_text import INTEGER_MAX, INTEGER_MIN
from whimbrel.expr.limits import DEFAULT_LIMITS, Budget, Limits, exceeded
from whimbrel.expr.sandbox import BudgetedContext, Sandbox, WouldModifyError

_LINE_BREAK = re.compile(r"\r\n|\r")
_TAG = re.compile(r"\{[{%].*?(?:[}%]\}|\Z)", re.DOTALL)
_NESTING_MAX = 64


def is_template(text: str) -> bool:
    """Say whether `text` holds a mark of Jinja, so that rendering it can change more than its end."""
    return "{" in text and ("{{" in text or "{%" in text or "{#" in text)


def plain(text: str) -> str:
    """Return a text without marks as Jinja prints it: Unix line breaks, the last one dropped."""
    if "\r" in text:
        text = _LINE_BREAK.sub("\n", text)
    return text.removesuffix("\n")


class Compiled:
    """A compiled template. Hold one instead of its text where it is rendered again and again."""

    __slots__ = ("_inner", "_lenient", "_modifies", "_template", "_templates", "text")

    def __init__(self, templates: "Templates", text: str, *, lenient: bool, inner: bool) -> None:
        self.text = text
        self._templates = templates
        self._lenient = lenient
        self._inner = inner
        self._modifies = False
        self._template = self._compile()

    def _compile(self) -> Template:
        sandbox = self._templates.sandbox(
            modifying=self._modifies, lenient=self._lenient, inner=self._inner
        )
        return sandbox.from_string(self.text)

    def render(self, context: Mapping[str, Any]) -> str:
        """Return the text for `context`, whose values stay as they are; raise `ExpressionError`."""
        try:
            if self._modifies:
                context = _copied(context)
            return self._run(context)
        except WouldModifyError:
            # Rare: from now on this template gets its own copy, and may do with it what it likes.
            self._modifies = True
            self._template = self._compile()
            return self.render(context)
        # Code from templates can raise anything; the caller decides, with the category.
        except Exception as error:
            raise as_expression_error(error) from error

    def _run(self, context: Mapping[str, Any]) -> str:
        template = self._template
        sandbox = template.environment
        # Not `new_context`: going through its chained maps costs as much as the rest.
        names = BudgetedContext(
            sandbox, {**sandbox.globals, **context}, template.name, template.blocks
        )
        names.budget = Budget(self._templates.limits)
        return "".join(template.root_render_func(names))


class Templates:
    """StackStorm's Jinja. `decrypter` serves the `decrypt_kv` filter.

    An instance is for one thread. Texts are compiled once and kept (`Limits.cached_templates`).
    All methods raise `ExpressionError`, whose `category` says what is wrong.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS, decrypter: Decrypter | None = None) -> None:
        self.limits = limits
        self._decrypter = decrypter
        self._sandboxes: dict[tuple[bool, bool, bool], Sandbox] = {}
        self._compiled = Cache[tuple[str, bool, bool], Compiled](limits.cached_templates)
        self._names = Cache[str, frozenset[str]](limits.cached_templates)

    def sandbox(self, *, modifying: bool, lenient: bool, inner: bool) -> Sandbox:
        """Return the environment of a dialect, made at its first use."""
        dialect = (modifying, lenient, inner)
        if dialect not in self._sandboxes:
            self._sandboxes[dialect] = Sandbox(
                self.limits, self._decrypter, modifying=modifying, lenient=lenient, inner=inner
            )
        return self._sandboxes[dialect]

    def compile(self, text: str) -> Compiled:
        """Return the compiled template; compiling the same text again costs a look-up."""
        return self._compiled.get((text, False, False), self._make)

    def _make(self, key: tuple[str, bool, bool]) -> Compiled:
        text, lenient, inner = key
        self._check_size(text)
        try:
            return Compiled(self, text, lenient=lenient, inner=inner)
        # The parser and Python's compiler raise many kinds at hostile texts.
        except Exception as error:
            raise as_expression_error(error) from error

    def _check_size(self, text: str) -> None:
        if len(text) > self.limits.template_chars:
            raise exceeded("a template's length", len(text), self.limits.template_chars)
        tags = text.count("{{") + text.count("{%")
        if tags > self.limits.template_tags:
            raise exceeded("a template's number of tags", tags, self.limits.template_tags)
        chars = sum(len(tag[0]) for tag in _TAG.finditer(text))
        if chars > self.limits.expression_chars:
            raise exceeded("the code of a template", chars, self.limits.expression_chars)

    def render(self, text: str, context: Mapping[str, Any]) -> str:
        """Return `text` with its expressions filled in from `context`."""
        if not is_template(text):
            return plain(text)
        return self.compile(text).render(context)

    def render_value(
        self, value: Any, context: Mapping[str, Any] | None, *, allow_undefined: bool = False
    ) -> Any:
        """Return `value` with every text in it rendered; other values keep their type.

        In lists and objects texts are rendered where they stand, names of members included.
        Without a context nothing is rendered. `__context` names the whole context.
        """
        if not context:
            return value
        return self._value(value, {"__context": context, **context}, allow_undefined)

    def render_mapping(
        self,
        mapping: Mapping[str, Any],
        context: Mapping[str, Any] | None,
        *,
        allow_undefined: bool = False,
    ) -> dict[str, Any]:
        """Return `mapping` with every value rendered as by `render_value`; its names stay."""
        if not context:
            return dict(mapping)
        names = {"__context": context, **context}
        return {name: self._value(value, names, allow_undefined) for name, value in mapping.items()}

    def _value(self, value: Any, names: Mapping[str, Any], lenient: bool) -> Any:
        if isinstance(value, str):
            return self._text(value, names, lenient, inner=False)
        if isinstance(value, dict | list):
            return self._nested(value, names, lenient, _NESTING_MAX)
        return value

    def _text(self, text: str, names: Mapping[str, Any], lenient: bool, *, inner: bool) -> str:
        if not is_template(text):
            return text if inner else plain(text)
        return self._compiled.get((text, lenient, inner), self._make).render(names)

    def _nested(self, value: Any, names: Mapping[str, Any], lenient: bool, depth: int) -> Any:
        if isinstance(value, str):
            return self._text(value, names, lenient, inner=True)
        if isinstance(value, int) and not INTEGER_MIN <= value <= INTEGER_MAX:
            message = f"the number {value} is beyond 64 bits"
            raise ExpressionError(message, category="type_error")
        if not isinstance(value, dict | list):
            return value
        if depth == 0:
            raise exceeded("nesting of a rendered value", _NESTING_MAX + 1, _NESTING_MAX)
        if isinstance(value, list):
            return [self._nested(item, names, lenient, depth - 1) for item in value]
        return {
            self._nested(name, names, lenient, 1): self._nested(item, names, lenient, depth - 1)
            for name, item in value.items()
        }

    def names(self, text: str) -> frozenset[str]:
        """Return the names that `text` takes from its context; Jinja's own globals are left out."""
        return self._names.get(text, self._find_names) if is_template(text) else frozenset()

    def _find_names(self, text: str) -> frozenset[str]:
        self._check_size(text)
        sandbox = self.sandbox(modifying=False, lenient=False, inner=False)
        try:
            return frozenset(meta.find_undeclared_variables(sandbox.parse(text)))
        # As in compiling.
        except Exception as error:
            raise as_expression_error(error) from error


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copied(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value
