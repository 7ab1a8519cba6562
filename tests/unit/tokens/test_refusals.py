"""Every refusal has a reason of its own that is in the contract, and quotes tokens safely."""

from __future__ import annotations

from policyd.json_types import Json
from policyd.reasons import Reason
from policyd.tokens import refusals
from policyd.tokens.details import escaped, escaped_member, escaped_path
from policyd.tokens.refusals import TokenRefused


def test_each_refusal_names_another_reason_of_the_contract() -> None:
    reasons = [refusal.reason for refusal in TokenRefused.__subclasses__()]

    assert len(reasons) == len(set(reasons)) >= 20
    assert set(reasons) <= {str(reason) for reason in Reason}


def test_each_class_of_the_module_is_a_refusal_with_a_reason() -> None:
    classes = [each for each in vars(refusals).values() if isinstance(each, type)]

    for each in classes:
        if issubclass(each, TokenRefused) and each is not TokenRefused:
            assert isinstance(each.reason, str)


def test_what_is_quoted_is_escaped_and_cut() -> None:
    assert escaped("plain") == "'plain'"
    assert escaped("a\r\nb\x1b\u202e") == r"'a\r\nb\x1b\u202e'"
    assert escaped("x" * 81) == "'" + "x" * 80 + "'..."
    assert escaped("x" * 80) == "'" + "x" * 80 + "'"
    assert escaped(["\u202e" * 100]) == (r'["' + r"\u202e" * 13) + "..."


def test_the_path_of_a_file_is_quoted_whole() -> None:
    path = "/" + "folder/" * 20 + "k\u00e9ys.json"
    assert escaped_path(path) == "'" + path.replace("\u00e9", r"\xe9") + "'"


def test_what_is_no_text_is_quoted_as_json_writes_it() -> None:
    values: list[Json] = [None, True, False, 7, 1.5, [None, "a"], {"a": {"b": [True]}}]
    assert escaped(["a\x7f\x02"]) == r'["a\u007f\u0002"]'
    assert [escaped(value) for value in values] == [
        *("null", "true", "false", "7", "1.5", '[null, "a"]', '{"a": {"b": [true]}}')
    ]
    assert escaped_member({"a": None}, "a") == "null"
    assert escaped_member({"a": "b"}, "a") == "'b'"
    assert escaped_member({"a": None}, "b") == "nothing"
