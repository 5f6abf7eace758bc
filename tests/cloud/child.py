"""What a fresh process does: build a collection and read it, in Python or in SQL. A job comes in, a report goes out.

Run as `python -m tests.cloud.child`, with the job as JSON on standard input.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

import rasteret_sql

_BUILD = "SELECT id FROM rasteret_build_from_stac(?, ?, bbox := ?, date_range := ?{more})"
_READ = (
    "SELECT chip.data, chip.dtype, len(chip.bands), chip.height, chip.width FROM "
    "(SELECT read_chip(id, ?, collection := ?{more}) AS chip FROM rasteret.{name} ORDER BY id)"
)


def main() -> None:
    job = json.load(sys.stdin)
    report: dict[str, Any] = {"did": "nothing"}
    try:
        scope: dict[str, Any] = {"rasteret_sql": rasteret_sql}
        exec(job["setup"], scope)  # the lines that a user writes
        in_words = _in_python if job["surface"] == "python" else _in_sql
        in_words(job, scope.get("backend"), report)
    except Exception as error:  # whatever a user would see is the report
        chain = [error]
        while (below := chain[-1].__cause__) is not None:
            chain.append(below)
        report["errors"] = [{"classes": [one.__name__ for one in type(e).__mro__], "words": str(e)} for e in chain]
    json.dump(report, sys.stdout)


def _in_python(job: dict[str, Any], backend: Any, report: dict[str, Any]) -> None:
    box, dates, bands = job["bbox"], tuple(job["date_range"]), job["bands"]
    common = {"name": job["name"], "bbox": box, "date_range": dates, "workspace_dir": job["workspace"]}
    if job["dataset"] is not None:
        collection = rasteret_sql.build(job["dataset"], backend=backend, **common)
    else:
        collection = rasteret_sql.build_from_stac(stac_api=job["stac_api"], backend=backend, **common)
    report["did"] = "build"
    time.sleep(job["pause"])
    if job["reads"]:
        np.save(job["output"], collection.get_numpy(tuple(box), bands, backend=backend))
        report["did"] = "read"


def _in_sql(job: dict[str, Any], backend: Any, report: dict[str, Any]) -> None:
    named = ", backend := 'mine'" if any("'mine'" in statement for statement in job["sql_setup"]) else ""
    with rasteret_sql.connect(workspace_dir=job["workspace"], backend=backend) as con:
        for statement in job["sql_setup"]:
            con.execute(statement).fetchall()
        if job["dataset"] is not None:
            build = _BUILD.replace("rasteret_build_from_stac(?, ?,", "rasteret_build(?, name := ?,")
            first = [job["dataset"], job["name"]]
        else:
            build, first = _BUILD, [job["name"], job["stac_api"]]
        con.execute(build.format(more=named), [*first, job["bbox"], job["date_range"]]).fetchall()
        report["did"] = "build"
        time.sleep(job["pause"])
        if job["reads"]:
            query = _READ.format(name=job["name"], more=named)
            rows = con.execute(query, [job["bands"], job["name"]]).fetchall()
            chips = [np.frombuffer(data, kind).reshape(shape) for data, kind, *shape in rows]
            np.save(job["output"], np.stack(chips))
            report["did"] = "read"


if __name__ == "__main__":
    main()
