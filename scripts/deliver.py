"""Deliver many records through each sink, and hold what arrived against what was written.

`python -m scripts.deliver [--records 10000000] [file stdout http]`

Records of 600 bytes go through a spool of 256 MiB, which is full all the time, to each sink in
turn: each must arrive once, in order. It prints the numbers, and ends with 1 where they differ.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from policyd.audit.courier import Batches, Courier
from policyd.audit.delivery import Delivery
from policyd.audit.sinks import Destination, FedSink, FileSink, StandardOutput
from policyd.audit.sinks.http import HttpDestination, HttpSettings, sink_url
from policyd.audit.spool import Spool
from tests.support.collector import OK, Answer, Post, collecting

KINDS: Final = ("file", "stdout", "http")
_ROOM: Final = 256 * 1024 * 1024
_PORTION: Final = 512
_LENGTH: Final = 600
_REST: Final = b'"x":"' + b"y" * (_LENGTH - 26) + b'"}\n'


class Arrivals:
    """Counts what arrives, and what of it is not the next record."""

    def __init__(self) -> None:
        self.records = self.wrong = 0

    def see(self, lines: Iterable[bytes]) -> None:
        """Look at lines, with or without their line feeds."""
        for line in lines:
            if not line.startswith(b'{"n":%012d,' % self.records):
                self.wrong += 1
            self.records += 1


def main() -> None:
    options = _options()
    failed = False
    for kind in options.kinds or KINDS:
        with tempfile.TemporaryDirectory() as name:
            begun = time.monotonic()
            arrived = through(kind, options.records, Path(name))
            seconds = time.monotonic() - begun
        failed = failed or arrived.wrong > 0 or arrived.records != options.records
        print(
            f"{kind}: {options.records:,} written, {arrived.records:,} arrived, "
            f"{arrived.wrong:,} of them out of order; {options.records / seconds:,.0f} a second",
            flush=True,
        )
    sys.exit(failed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="SINK", help=", ".join(KINDS))
    parser.add_argument("--records", type=int, default=10_000_000)
    options = parser.parse_args()
    for kind in options.kinds:
        if kind not in KINDS:
            parser.error(f"no sink `{kind}`; there are {', '.join(KINDS)}")
    return options


def through(kind: str, records: int, folder: Path) -> Arrivals:
    """Deliver so many records through a sink of a kind, and return what arrived."""
    arrivals = Arrivals()
    with _sink(kind, folder, arrivals) as destination:
        spool = Spool(folder / "spool", _ROOM, drops=False)
        courier = Courier(kind, destination, spool, Batches(seconds=0.01))
        delivery = Delivery(spool, [courier], last=600)
        delivery.start()
        for first in range(0, records, _PORTION):
            _write(delivery, first, min(_PORTION, records - first))
        delivery.close()
        assert courier.figures.delivered == records, courier.figures
    return arrivals


def _write(delivery: Delivery, first: int, number: int) -> None:
    data = b"".join(b'{"n":%012d,' % n + _REST for n in range(first, first + number))
    while data := data[delivery.write(data) :]:
        delivery.look()
        time.sleep(0.005)


@contextmanager
def _sink(kind: str, folder: Path, arrivals: Arrivals) -> Iterator[Destination]:
    """Yield a sink; `arrivals` are complete after it."""
    if kind == "file":
        path = folder / "decisions.ndjson"
        yield FedSink(FileSink(path))
        with path.open("rb") as file:
            arrivals.see(file)
    elif kind == "stdout":
        read, write = os.pipe()
        with os.fdopen(read, "rb") as file:
            reader = threading.Thread(target=arrivals.see, args=(file,))
            reader.start()
            yield FedSink(StandardOutput(write))
            os.close(write)
            reader.join()
    else:

        def judge(post: Post) -> Answer:
            arrivals.see(post.lines)
            post.lines.clear()  # which would be kept otherwise
            return OK

        with collecting(judge) as collector:
            yield HttpDestination(HttpSettings(sink_url(collector.url, insecure=False)))


if __name__ == "__main__":
    main()
