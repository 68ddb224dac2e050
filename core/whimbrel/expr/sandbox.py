"""The Jinja environment: sandboxed, strict about undefined names, counting what it spends."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Never

from jinja2 import StrictUndefined, Undefined, nodes, pass_context
from jinja2.runtime import Context, Macro
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
_BUILD = " build"
# About a microsecond each: a step, numbers of a range, values looked at, a macro's frame.
_RANGE_PER_STEP = 16
_NODES_PER_STEP = 16
_MACRO_STEPS = 10


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
        functions = {spec.name: _defined(spec.call) for spec in FUNCTIONS}
        if inner:
            # A nested value is escaped by being a value; a second time would show.
            functions["json_escape"] = _defined(_unescaped)
        self.filters = {
            name: _metered(name, function) for name, function in (self.filters | functions).items()
        }
        self.filters |= {_TICK: _tick, _CONCAT: _concat, _BUILD: _build}
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
        assert isinstance(context, BudgetedContext)
        for value in (left, right):
            if isinstance(value, list | tuple):
                _visit(context, value)
        sizes.check_operation(self.limits, operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function of a template, checking what could blow up."""
        assert isinstance(context, BudgetedContext)
        for value in (*args, *kwargs.values()):
            _visit(context, value)
        method = getattr(obj, "__wrapped__", obj)
        owner = getattr(method, "__self__", None)
        if isinstance(owner, str | list):
            args = sizes.check_method(self.limits, owner, method.__name__, args, kwargs)
        elif isinstance(obj, Macro):
            context.budget.step(_MACRO_STEPS, 0)
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
    """Make loops, blocks, macros, `~` and the building of lists and objects spend."""
    _meter_values(template)
    for loop in template.find_all(nodes.For):
        if loop.test is not None:
            loop.test = nodes.And(_spend(loop, 0), loop.test, lineno=loop.lineno)
    for repeated in template.find_all((nodes.For, nodes.Macro, nodes.CallBlock, nodes.Block)):
        chars = sum(len(data.data) for data in repeated.find_all(nodes.TemplateData))
        statement = nodes.ExprStmt(_spend(repeated, chars), lineno=repeated.lineno)
        repeated.body.insert(0, statement)  # type: ignore[attr-defined]  # all four have a body


def _spend(node: nodes.Node, chars: int) -> nodes.Filter:
    return _filter(nodes.Const(chars, lineno=node.lineno), _TICK)


def _filter(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _meter_values(node: nodes.Node) -> None:
    for name, value in node.iter_fields():
        if isinstance(value, list):
            value[:] = [_metered_value(item) for item in value]
        elif isinstance(value, nodes.Node):
            setattr(node, name, _metered_value(value))


def _metered_value(node: Any) -> Any:
    if not isinstance(node, nodes.Node):
        return node
    _meter_values(node)
    if isinstance(node, nodes.Concat):
        return _filter(nodes.List(node.nodes, lineno=node.lineno), _CONCAT)
    if not isinstance(node, nodes.List | nodes.Tuple | nodes.Dict):
        return node
    if isinstance(node, nodes.Tuple) and node.ctx != "load":
        return node
    # Constants cannot share, and so cannot grow.
    if all(isinstance(part, nodes.Const) for part in node.find_all(nodes.Expr)):
        return node
    return _filter(node, _BUILD)


def _visit(context: BudgetedContext, value: object) -> None:
    """Spend for looking at all of `value`; raise `limit_exceeded` when it is too large to print."""
    if isinstance(value, sizes.CONTAINERS):
        budget = context.budget
        seen, size = sizes.measure(value, (budget.steps_left + 1) * _NODES_PER_STEP)
        budget.step(seen // _NODES_PER_STEP, 0)
        sizes.check(_limits(context), size)


@pass_context
def _printed(context: BudgetedContext, value: object) -> str:
    if not isinstance(value, str):
        _visit(context, value)
    text = value if isinstance(value, Markup) else str(value)
    context.budget.printed(len(text))
    return text


@pass_context
def _tick(context: BudgetedContext, chars: int) -> bool:
    context.budget.step(1, chars)
    return True


@pass_context
def _concat(context: BudgetedContext, parts: Sequence[object]) -> str:
    _visit(context, parts)
    texts = [str(part) for part in parts]
    sizes.check(_limits(context), sum(map(len, texts)))
    return "".join(texts)


@pass_context
def _build(context: BudgetedContext, value: object) -> object:
    _visit(context, value)
    return value


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


def _metered(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that spends for what it looks at and asks the check of its name."""
    test = sizes.FILTER_CHECKS.get(name)
    shallow = name in sizes.SHALLOW_FILTERS
    passed = getattr(getattr(function, "jinja_pass_arg", None), "name", "")

    @pass_context
    def metered(context: BudgetedContext, value: Any = None, /, *args: Any, **kwargs: Any) -> Any:
        if not shallow:
            _visit(context, value)
        elif isinstance(value, list | tuple | dict):
            context.budget.step(len(value) // _NODES_PER_STEP, 0)
        if test is not None:
            test(_limits(context), value, *args, **kwargs)
        if passed == "context":
            return function(context, value, *args, **kwargs)
        if passed == "eval_context":
            return function(context.eval_ctx, value, *args, **kwargs)
        if passed == "environment":
            return function(context.environment, value, *args, **kwargs)
        return function(value, *args, **kwargs)

    return metered


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
