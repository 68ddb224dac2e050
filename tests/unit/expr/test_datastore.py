"""Datastore references in templates."""

import pytest
from whimbrel.expr import CipherKey, DatastoreLookup, ExpressionError, Templates, datastore, encrypt


class Items:
    """A datastore that remembers what was read from it."""

    def __init__(self, items: dict[tuple[str, str], str]) -> None:
        self.items = items
        self.read_names: list[str] = []

    def read(self, scope: str, name: str) -> str | None:
        """Return the text, None when it is missing."""
        self.read_names.append(name)
        return self.items.get((scope, name))


KEY = CipherKey(aes=b"0" * 32, hmac=b"1" * 32)


def names(**system: str) -> dict[str, dict[str, DatastoreLookup]]:
    """Return the context with these system items."""
    return {"st2kv": datastore(Items({("st2kv.system", k): v for k, v in system.items()}))}


def test_names_with_dots_and_scopes() -> None:
    """Attributes make up one name; the user's items are read under `user:name`."""
    items = Items({("st2kv.system", "a.b"): "dotted", ("st2kv.user", "joe:k"): "own"})
    context = {"st2kv": datastore(items, "joe")}
    text = "{{ st2kv.system.a.b }}|{{ st2kv.system['a.b'] }}|{{ st2kv.user.k }}"
    assert Templates().render(text, context) == "dotted|dotted|own"


def test_only_what_is_used_is_read() -> None:
    """Building a reference reads nothing; printing it reads its item."""
    items = Items({("st2kv.system", "a.b.c"): "x"})
    context = {"st2kv": datastore(items)}
    Templates().render("{{ 1 if false else st2kv.system.a.b.c }}", context)
    assert items.read_names == ["a.b.c"]


def test_names_of_methods_are_names_of_items() -> None:
    """`keys` and the like are items, not methods of the reference."""
    assert Templates().render("{{ st2kv.system.keys }}", names(keys="k")) == "k"


def test_missing_items_print_nothing() -> None:
    """A missing item is empty text, and there is no user scope without a user."""
    templates = Templates()
    assert templates.render("[{{ st2kv.system.nope }}]", names()) == "[]"
    with pytest.raises(ExpressionError) as caught:
        templates.render("{{ st2kv.user.x }}", names())
    assert caught.value.category == "template_undefined"


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'x' in st2kv.system.k }}",
        "{% for c in st2kv.system.k %}{{ c }}{% endfor %}",
        "{{ st2kv.system.k | list }}",
    ],
)
def test_searching_a_reference_ends(text: str) -> None:
    """Iterating a reference is a type error, where every index would name another item."""
    with pytest.raises(ExpressionError) as caught:
        Templates().render(text, names(k="v"))
    assert caught.value.category == "type_error"


def test_secrets_are_decrypted_where_asked() -> None:
    """`decrypt_kv` takes the reference or its ciphertext; without it the ciphertext is printed."""
    secret = encrypt(KEY, "s3cret", b"i" * 16)
    templates = Templates(decrypter=KEY)
    context = names(token=secret)
    assert templates.render("{{ st2kv.system.token | decrypt_kv }}", context) == "s3cret"
    assert templates.render("{{ t | decrypt_kv }}", {"t": secret}) == "s3cret"
    assert templates.render("{{ st2kv.system.token }}", context) == secret


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ st2kv.system.nope | decrypt_kv }}", "value_error"),
        ("{{ st2kv.system.bad | decrypt_kv }}", "decrypt_bad_signature"),
        ("{{ 'zz' | decrypt_kv }}", "value_error"),
        ("{{ 5 | decrypt_kv }}", "type_error"),
    ],
)
def test_what_cannot_be_decrypted(text: str, expected: str) -> None:
    """Missing items, foreign keys and garbage are told apart."""
    other = CipherKey(aes=b"0" * 32, hmac=b"2" * 32)
    context = names(bad=encrypt(other, "x", b"i" * 16))
    with pytest.raises(ExpressionError) as caught:
        Templates(decrypter=KEY).render(text, context)
    assert caught.value.category == expected
