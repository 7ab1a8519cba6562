"""Whether the load of this benchmark is the limit: beside h2load, a generator written in C.

h2load repeats one body, so it measures nothing here; but on one body both must see the same server.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from contextlib import ExitStack
from pathlib import Path

from bench.load import run
from bench.material import Material
from bench.report import Row, interleaved, ratio
from bench.servers import CHECK, Server, daemon, requests, until_listening, until_serving
from bench.transport import IN_FLIGHT, constant

_RATE = re.compile(r"finished in .*?, ([\d.]+) req/s")
_DONE = re.compile(r"(\d+) succeeded, 0 failed, 0 errored, 0 timeout")


def rows_of_generators(material: Material, rounds: int, calls: int) -> list[Row]:
    """Throughput as each generator sees it, of the daemon and of the constant answer."""
    program = shutil.which("h2load")
    if program is None:
        return [Row("load", "as h2load sees it / as this load does", None, None, "no h2load here")]
    body = requests(material.tokens[:1])
    rows: list[Row] = []
    with ExitStack() as stack:
        ours = stack.enter_context(daemon(material))
        until_serving(ours)
        theirs = stack.enter_context(constant("event"))
        until_listening(theirs)
        for name, server in (("Check", ours), ("constant answer", theirs)):
            file = server.folder / "body"
            file.write_bytes(struct.pack(">BI", 0, len(body[0])) + body[0])

            def this(server: Server = server) -> float:
                return run(server.address, CHECK, body, calls=calls, in_flight=IN_FLIGHT).rate

            def other(server: Server = server, file: Path = file) -> float:
                return _h2load(program, server, file, calls)

            found = interleaved({"this": this, "h2load": other}, rounds, "/s")
            rows += [
                Row("load", f"{name}, one body: as this load sees it", None, found["this"]),
                Row("load", f"{name}, one body: as h2load sees it", None, found["h2load"]),
                Row("load", f"{name}: this / h2load", None, ratio(found["this"], found["h2load"])),
            ]
    return rows


def _h2load(program: str, server: Server, body: Path, calls: int) -> float:
    """Return calls a second. Raises `RuntimeError` unless all of them succeed."""
    host, port = server.address
    options = [f"--requests={calls}", "--clients=1", f"--max-concurrent-streams={IN_FLIGHT}"]
    headers = ["--header=content-type: application/grpc", "--header=te: trailers"]
    address = f"http://{host}:{port}{CHECK.path}"
    said = subprocess.run(
        [program, *options, f"--data={body}", *headers, address],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    rate, done = _RATE.search(said), _DONE.search(said)
    if rate is None or done is None or int(done[1]) != calls:
        raise RuntimeError(f"h2load did not get {calls} answers: {said}")
    return float(rate[1])
