"""What the protocol's log says of requests that are refused."""

from __future__ import annotations

import logging

import pytest
from pygls.exceptions import JsonRpcException

from policyd.editor.rename import RenameRefused
from policyd.editor.server import is_defect
from policyd.errors import InternalError, PolicydError


def logged(error: Exception) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__)
    return logging.LogRecord("pygls", logging.ERROR, "", 1, "Exception occurred", (), info)


@pytest.mark.parametrize(
    ("cause", "defect"),
    [
        (RenameRefused("`any` is no name"), False),
        (PolicydError("the files cannot be read"), False),
        (InternalError("two answers"), True),
        (ValueError("x"), True),
        (None, True),
    ],
)
def test_an_answer_leaves_no_traceback(cause: Exception | None, defect: bool) -> None:
    error = JsonRpcException(message="refused")
    error.__cause__ = cause
    assert is_defect(logged(error)) is defect


def test_other_records_are_kept() -> None:
    assert is_defect(logged(ValueError("x")))
    assert is_defect(logging.LogRecord("pygls", logging.ERROR, "", 1, "said", (), None))
