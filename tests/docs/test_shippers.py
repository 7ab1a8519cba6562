"""The recipes for Vector and Fluent Bit: they can be read, and take what policyd sends.

Neither program is run.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from policyd.config.findings import Findings
from policyd.config.reading import read_tables
from policyd.diagnostics import Source
from tests.support.documents import ROOT

VECTOR = ROOT / "deploy" / "vector" / "vector.toml"
FLUENT_BIT = ROOT / "deploy" / "fluent-bit" / "fluent-bit.yaml"


def sink(path: Path) -> dict[str, object]:
    """Return the sink that a recipe's head tells policyd to have; it must be a valid one."""
    head = (line for line in path.read_text().splitlines() if line.startswith("#   "))
    text = "\n".join(line.removeprefix("#   ") for line in head)
    values = tomllib.loads(f'[policies]\npath = "policies"\n{text}')
    findings = Findings(Source("policyd.toml", text))
    assert read_tables(values, findings) is not None, findings.found
    (table,) = values["decision_log"]["sinks"]
    assert isinstance(table, dict)
    return table


def test_vector_listens_where_policyd_sends() -> None:
    recipe = tomllib.loads(VECTOR.read_text())
    source = recipe["sources"]["policyd"]
    url = urlsplit(str(sink(VECTOR)["url"]))
    assert (url.netloc, url.path) == (source["address"], source["path"])
    assert source["framing"]["method"] == "newline_delimited"
    assert source["decoding"]["codec"] == "json"


def test_each_input_of_vectors_parts_is_one() -> None:
    recipe = tomllib.loads(VECTOR.read_text())
    parts = {**recipe["sources"], **recipe["transforms"]}
    inputs = {
        name
        for part in (*recipe["transforms"].values(), *recipe["sinks"].values())
        for name in part["inputs"]
    }
    assert inputs == set(parts)
    assert all(one["acknowledgements"]["enabled"] for one in recipe["sinks"].values())


def test_fluent_bit_reads_the_file_and_those_that_were_rotated() -> None:
    recipe = yaml.safe_load(FLUENT_BIT.read_text())
    (reads,) = recipe["pipeline"]["inputs"]
    (parser,) = recipe["parsers"]
    told = sink(FLUENT_BIT)
    assert reads["path"] == f"{told['path']}*"
    assert "gzip" not in told
    assert reads["parser"] == parser["name"]
    assert {one["match"] for one in recipe["pipeline"]["outputs"]} == {reads["tag"]}
