"""Functions that pick out of values, or out of the datastore."""

from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context

from whimbrel.expr.datastore import DatastoreLookup, Decrypter, item_name, stored_text
from whimbrel.expr.datastore_cipher import CipherError
from whimbrel.expr.errors import ExpressionError
from whimbrel.expr.functions.spec import Example, FunctionSpec
from whimbrel.expr.jsonpath import JsonPaths, MalformedPathError

_CIPHER_CATEGORIES = {"bad_signature": "decrypt_bad_signature", "type_error": "type_error"}


def jsonpath_query(paths: JsonPaths, value: object, query: str) -> list[Any] | None:
    """Return the list of everything that `query` selects, None when that is nothing."""
    try:
        return paths.compile(query).find(value) or None
    except MalformedPathError as error:
        raise ExpressionError(str(error), category="invalid_jsonpath") from error


@pass_context
def decrypt_kv(context: Context, value: object) -> str:
    """Return the text of a secret datastore item, given the item or its ciphertext."""
    ciphertext = _ciphertext(value)
    decrypter: Decrypter | None = getattr(context.environment, "decrypter", None)
    if decrypter is None:
        message = "there is no key to decrypt datastore items with"
        raise ExpressionError(message, category="missing_file")
    try:
        return decrypter.decrypt(ciphertext)
    except CipherError as error:
        category = _CIPHER_CATEGORIES.get(error.category, "value_error")
        raise ExpressionError(str(error), category=category) from error


def _ciphertext(value: Any) -> str:
    if not isinstance(value, DatastoreLookup):
        return value  # type: ignore[no-any-return]  # the decrypter refuses what is not text
    text = stored_text(value)
    if not text:
        message = f"the datastore item {item_name(value)!r} does not exist"
        raise ExpressionError(message, category="value_error")
    return text


def _query() -> Any:
    paths = JsonPaths()
    return lambda value, query: jsonpath_query(paths, value, query)


QUERIES = (
    FunctionSpec(
        name="jsonpath_query",
        summary="List everything that a JSONPath expression selects; none when nothing is.",
        call=_query(),
        examples=(
            Example("{{ {'a': [{'b': 1}, {'b': 2}]} | jsonpath_query('a[*].b') }}", "[1, 2]"),
            Example("{{ {'a': 1} | jsonpath_query('b') }}", "None"),
            Example("{{ {'a': 1} | jsonpath_query('a[') }}", fails="invalid_jsonpath"),
        ),
    ),
    FunctionSpec(
        name="decrypt_kv",
        summary="Decrypt a secret datastore item: `{{ st2kv.system.token | decrypt_kv }}`.",
        call=decrypt_kv,
        examples=(Example("{{ 'AB' | decrypt_kv }}", fails="missing_file"),),
    ),
)
