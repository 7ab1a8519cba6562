"""Decide a decision log again by other policies, under Spark, where the log already is.

Each task decides the lines of its partition and returns one small row: what it counted. The driver
adds these up, and prints the report that `policyd replay` prints. Lines never leave the executors.

    spark-submit examples/replay_spark.py s3a://logs/policyd/2027/01/ --policies new-policies
    spark-submit examples/replay_spark.py LOG --policies new --baseline old --html replay.html

LOG is what `spark.read.text` takes: files, folders, patterns, compressed or not. policyd must be
installed where the executors run, for example in an archive of `--archives`.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession

from policyd.language.policy import PolicySet
from policyd.replay import Counter, Judge, Report, Tally, replay_html, replay_text
from policyd.tooling.revisions import read_revision

Batches = Iterable[pa.RecordBatch]


def counting(
    policies: PolicySet, baseline: PolicySet | None, log: str
) -> Callable[[Batches], Iterator[pa.RecordBatch]]:
    """Return what a task does with the lines of its partition."""

    def count(batches: Batches) -> Iterator[pa.RecordBatch]:
        counter = Counter(Judge(policies, baseline), file=log)
        lines = 0
        for batch in batches:
            counter.count(value.encode() for value in batch.column("value").to_pylist())
            lines += batch.num_rows
        counter.tally.lines = lines
        yield pa.RecordBatch.from_pydict({"tally": [pickle.dumps(counter.tally)]})

    return count


def replayed(
    spark: SparkSession, log: str, policies: PolicySet, baseline: PolicySet | None = None
) -> Tally:
    """Decide the lines of a log again, and return what was counted."""
    rows = spark.read.text(log).mapInArrow(counting(policies, baseline, log), "tally binary")
    total = Tally()
    for row in rows.toLocalIterator():
        total.merge(pickle.loads(row.tally), 0)  # noqa: S301 - the tasks above have made it
    return total


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Replay a decision log under Spark.")
    parser.add_argument("log")
    parser.add_argument("--policies", required=True, help="a folder, or a commit")
    parser.add_argument("--baseline", help="compare with what these policies decide")
    parser.add_argument("--html", type=Path, help="write the report as a page, too")
    given = parser.parse_args()
    new = read_revision(given.policies, Path())
    old = None if given.baseline is None else read_revision(given.baseline, Path())
    spark = SparkSession.builder.appName("policyd replay").getOrCreate()
    tally = replayed(spark, given.log, new.policies, None if old is None else old.policies)
    report = Report(new.name, None if old is None else old.name, tally)
    print(replay_text(report), end="")
    if given.html is not None:
        given.html.write_text(replay_html(report), encoding="utf-8")


if __name__ == "__main__":
    main()
