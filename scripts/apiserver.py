"""Builds kube-apiserver for `make deploy-check`: `python -m scripts.apiserver [FOLDER]`.

It needs Go and its module proxy. It downloads half a gigabyte, builds for four minutes on two
processors or nine on one, and leaves the program, of 100 MB, and its module in FOLDER
(build/apiserver). Go's own variables hold: GOMAXPROCS and GOFLAGS for how it builds, GOPATH and
GOCACHE for where it keeps what it downloads and compiles, 3 GB by the end. The program is found by

    KUBE_APISERVER=build/apiserver/kube-apiserver make deploy-check

Kubernetes' module refers to parts of its own repository by relative paths, so `go install` refuses
it. Those parts are published as modules too, under the same version with a 0 in front: a module of
our own says so.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

VERSION = "34.2"
_MODULE = "k8s.io/kubernetes"
_STAGED = re.compile(r"^\s*(k8s\.io/\S+) => \./staging/", re.MULTILINE)
_NAMES = "k8s.io/component-base/version"


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/apiserver").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    go = ["go", "mod", "download", "-json", f"{_MODULE}@v1.{VERSION}"]
    known = subprocess.run(go, cwd=folder, stdout=subprocess.PIPE, check=True).stdout
    staged = _STAGED.findall(Path(json.loads(known)["GoMod"]).read_text())
    lines = [f"module apiserver\n\ngo 1.24.0\n\nrequire {_MODULE} v1.{VERSION}\n"]
    lines += [f"replace {name} => {name} v0.{VERSION}" for name in staged]
    (folder / "go.mod").write_text("\n".join(lines) + "\n")

    minor, _, _ = VERSION.partition(".")
    said = {"gitVersion": f"v1.{VERSION}", "gitMajor": "1", "gitMinor": minor}
    flags = " ".join(["-s -w", *(f"-X {_NAMES}.{name}={value}" for name, value in said.items())])
    program = folder / "kube-apiserver"
    subprocess.run(
        ["go", "build", "-ldflags", flags, "-o", str(program), f"{_MODULE}/cmd/kube-apiserver"],
        cwd=folder,
        env={**os.environ, "GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -mod=mod".strip()},
        check=True,
    )
    print(f"KUBE_APISERVER={program}")


if __name__ == "__main__":
    main()
