"""The table `[envoy]`: names that are some, and an origin that is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.config.test_configuration import configured
from tests.unit.config.test_reach import headlines, table

SERVICES = '["envoy"]'


def test_defaults(tmp_path: Path) -> None:
    made = configured(tmp_path, table(services=SERVICES)).envoy
    assert made.subject_header == "X-Policyd-Subject"
    assert made.client_header == "X-Policyd-Client"
    assert made.decision_id_header == "X-Policyd-Decision-Id"
    assert (made.strip_token, made.external_origin) == (False, None)


@pytest.mark.parametrize(
    ("line", "headline"),
    [
        ('subject_header = ""', "`` cannot be the name of the header field"),
        ('subject_header = "X_A"', "`X_A` cannot be the name of the header field"),
        ('subject_header = "X--A"', "`X--A` cannot be the name of the header field"),
        ('subject_header = ":path"', "`:path` cannot be the name of the header field"),
        ('client_header = "Host"', "the header field `Host` has a meaning of its own"),
        ('client_header = "DPoP"', "the header field `DPoP` has a meaning of its own"),
        ('client_header = "A-B-C-D-E-F"', "`A-B-C-D-E-F` has more than 4 hyphens"),
        ('client_header = "x-policyd-subject"', "`x-policyd-subject` is the `subject_header` too"),
        ('external_origin = "api.example"', "`api.example` is no origin"),
        ('external_origin = "https://a.example/"', "`https://a.example/` is no origin"),
        ('external_origin = "ftp://a.example"', "`ftp://a.example` is no origin"),
    ],
)
def test_mistakes(tmp_path: Path, line: str, headline: str) -> None:
    found = headlines(tmp_path, f"{table(services=SERVICES)}[envoy]\n{line}\n")
    assert found == [("P5004", headline)]


@pytest.mark.parametrize(
    "line",
    [
        'external_origin = "https://api.example.com"',
        'external_origin = "http://127.0.0.1:8000"',
        'external_origin = "https://[::1]:8443"',
        'subject_header = "Remote-User"',
        "strip_token = true",
    ],
)
def test_what_is_right(tmp_path: Path, line: str) -> None:
    assert headlines(tmp_path, f"{table(services=SERVICES)}[envoy]\n{line}\n") == []
