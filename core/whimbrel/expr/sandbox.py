"""The Jinja environment: sandboxed, strict about undefined names, counting what it spends."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Never

from jinja2 import StrictUndefined, Undefined, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment, modifies_known_mutable
from jinja2.utils import generate_lorem_ipsum
from markupsafe import Markup

from whimbrel.expr import sizes
from whimbrel.expr.datastore import DatastoreLookup, Decrypter
from whimbrel.expr.errors import ExpressionError
from whimbrel.expr.functions import FUNCTIONS
from whimbrel.expr.functions.formats import json_escape
from whimbrel.expr.limits import Budget, Limits

_TICK = " tick"
_CONCAT = " concat"
_RANGE_PER_STEP = 16


class WouldModifyError(Exception):
    """A template wants to change a value of its context; it has to run on a copy."""


class BudgetedContext(Context):
    """The names of one rendering, with what it may still spend."""

    budget: Budget

    def derived(self, locals: dict[str, Any] | None = None) -> "BudgetedContext":  # noqa: A002 - Jinja's name
        """Return a context for an inner block, spending from the same budget."""
        inner = super().derived(locals)
        assert isinstance(inner, BudgetedContext)
        inner.budget = self.budget
        return inner


class Sandbox(SandboxedEnvironment):
    """StackStorm's Jinja dialect under `Limits`.

    `modifying` allows the methods that change lists and dicts, which raise `WouldModifyError` otherwise;
    `lenient` prints nothing for undefined names, which are errors otherwise;
    `inner` is for texts inside lists and objects, whose line breaks are theirs to keep.
    """

    intercepted_binops = frozenset({"*", "**", "+", "%"})
    context_class: type[Context] = BudgetedContext

    def __init__(
        self,
        limits: Limits,
        decrypter: Decrypter | None,
        *,
        modifying: bool = False,
        lenient: bool = False,
        inner: bool = False,
    ) -> None:
        super().__init__(
            trim_blocks=not inner,
            lstrip_blocks=not inner,
            keep_trailing_newline=inner,
            undefined=Undefined if lenient else StrictUndefined,
            finalize=_printed,
            cache_size=0,
        )
        self.limits = limits
        self.decrypter = decrypter
        self.modifying = modifying
        self.filters |= sizes.bounded_filters(limits)
        self.filters |= {spec.name: _defined(spec.call) for spec in FUNCTIONS}
        self.filters["regex_replace"] = sizes.bounded(
            limits, self.filters["regex_replace"], sizes.check_regex_replace
        )
        if inner:
            # A nested value is escaped by being a value; a second time would show.
            self.filters["json_escape"] = _defined(_unescaped)
        self.filters |= {_TICK: _tick, _CONCAT: _concat}
        self.globals |= {"range": _range, "lipsum": _lipsum}

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """Stop at a method that changes its object; others become an undefined value."""
        if not self.modifying and modifies_known_mutable(obj, attribute):
            raise WouldModifyError
        return super().unsafe_undefined(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Refuse internals, and methods that change their object unless `modifying`."""
        if not self.modifying and modifies_known_mutable(obj, attr):
            return False
        return super().is_safe_attribute(obj, attr, value)

    def is_safe_callable(self, obj: Any) -> bool:
        """Refuse unsafe functions, and datastore items mistaken for their text."""
        return not isinstance(obj, DatastoreLookup) and super().is_safe_callable(obj)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute `left operator right` unless the result would be over `value_size`."""
        sizes.check_operation(self.limits, operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function of a template, checking the methods of text that can blow it up."""
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str | list):
            args = sizes.check_method(self.limits, owner, obj.__name__, args, kwargs)
        return super().call(context, obj, *args, **kwargs)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template = super()._parse(source, name, filename)
        _meter(template)
        return template

    def _load_template(self, *_: Any) -> Never:
        raise ExpressionError(
            "a template cannot load another template", category="template_no_loader"
        )


def _meter(template: nodes.Template) -> None:
    """Make every loop round, macro call and block spend, and every `~` check its length."""
    for loop in template.find_all(nodes.For):
        if loop.test is not None:
            loop.test = nodes.And(_spend(loop, 0), loop.test, lineno=loop.lineno)
    for repeated in template.find_all((nodes.For, nodes.Macro, nodes.CallBlock, nodes.Block)):
        chars = _literal_chars(repeated)
        statement = nodes.ExprStmt(_spend(repeated, chars), lineno=repeated.lineno)
        repeated.body.insert(0, statement)  # type: ignore[attr-defined]  # all four have a body
    _meter_concatenation(template)


def _spend(node: nodes.Node, chars: int) -> nodes.Filter:
    lineno = node.lineno
    return nodes.Filter(nodes.Const(chars, lineno=lineno), _TICK, [], [], None, None, lineno=lineno)


def _literal_chars(node: nodes.Node) -> int:
    return sum(len(data.data) for data in node.find_all(nodes.TemplateData))


def _meter_concatenation(node: nodes.Node) -> None:
    for name, value in node.iter_fields():
        if isinstance(value, list):
            value[:] = [_metered(item) for item in value]
        elif isinstance(value, nodes.Node):
            setattr(node, name, _metered(value))


def _metered(node: Any) -> Any:
    if not isinstance(node, nodes.Node):
        return node
    _meter_concatenation(node)
    if not isinstance(node, nodes.Concat):
        return node
    parts = nodes.List(node.nodes, lineno=node.lineno)
    return nodes.Filter(parts, _CONCAT, [], [], None, None, lineno=node.lineno)


@pass_context
def _printed(context: BudgetedContext, value: object) -> str:
    text = value if isinstance(value, Markup) else str(value)
    context.budget.printed(len(text))
    return text


@pass_context
def _tick(context: BudgetedContext, chars: int) -> bool:
    context.budget.step(1, chars)
    return True


@pass_context
def _concat(context: BudgetedContext, parts: Sequence[object]) -> str:
    texts = [str(part) for part in parts]
    sizes.check(_limits(context), sum(map(len, texts)))
    return "".join(texts)


@pass_context
def _range(context: BudgetedContext, *bounds: int) -> range:
    numbers = range(*bounds)
    longest = _limits(context).range_size
    if len(numbers) > longest:
        raise OverflowError(f"range is limited to {longest} numbers, got {len(numbers)}")
    context.budget.step(len(numbers) // _RANGE_PER_STEP, 0)
    return numbers


@pass_context
def _lipsum(
    context: BudgetedContext,
    n: int = 5,
    html: bool = True,
    min: int = 20,  # noqa: A002 - Jinja's name
    max: int = 100,  # noqa: A002 - Jinja's name
) -> str:
    context.budget.step(n * max // _RANGE_PER_STEP, 0)
    return generate_lorem_ipsum(n, html, min, max)


def _defined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function`, reporting an undefined value before the function trips over it."""

    @functools.wraps(function)
    def defined(*args: object, **kwargs: object) -> Any:
        for value in args:
            if isinstance(value, StrictUndefined):
                str(value)
        return function(*args, **kwargs)

    return defined


def _unescaped(value: object) -> object:
    return value if isinstance(value, str) else json_escape(value)


def _limits(context: Context) -> Limits:
    environment = context.environment
    assert isinstance(environment, Sandbox)
    return environment.limits
