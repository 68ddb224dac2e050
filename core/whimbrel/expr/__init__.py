"""Expressions: StackStorm's Jinja, sandboxed and compiled once; the datastore cipher; JSONPath."""

from whimbrel.expr.datastore import (
    DatastoreLookup,
    Decrypter,
    EmptyDatastore,
    KeyReader,
    datastore,
)
from whimbrel.expr.datastore_cipher import CipherError, CipherKey, decrypt, encrypt
from whimbrel.expr.errors import ExpressionError, as_expression_error, category_of
from whimbrel.expr.functions import FUNCTIONS, NONE_MARKER, Example, FunctionSpec
from whimbrel.expr.json_text import decode as decode_json
from whimbrel.expr.jsonpath import MalformedPathError, Path, PlainPath, compile_path
from whimbrel.expr.limits import DEFAULT_LIMITS, Limits
from whimbrel.expr.templates import Compiled, Templates, is_template, plain

__all__ = [
    "DEFAULT_LIMITS",
    "FUNCTIONS",
    "NONE_MARKER",
    "CipherError",
    "CipherKey",
    "Compiled",
    "DatastoreLookup",
    "Decrypter",
    "EmptyDatastore",
    "Example",
    "ExpressionError",
    "FunctionSpec",
    "KeyReader",
    "Limits",
    "MalformedPathError",
    "Path",
    "PlainPath",
    "Templates",
    "as_expression_error",
    "category_of",
    "compile_path",
    "datastore",
    "decode_json",
    "decrypt",
    "encrypt",
    "is_template",
    "plain",
]
