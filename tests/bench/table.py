"""Prints Criterion's medians beside their limits. Usage: table.py CRITERION_DIRECTORY LIMITS_FILE"""

import json
import pathlib
import sys

UNITS = [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns")]


def medians(directory):
    """Median nanoseconds by full bench name."""
    found = {}
    for estimates in sorted(pathlib.Path(directory).glob("**/new/estimates.json")):
        name = json.loads((estimates.parent / "benchmark.json").read_text())["full_id"]
        found[name] = json.loads(estimates.read_text())["median"]["point_estimate"]
    return found


def limits(file):
    """Limit in nanoseconds by bench name; lines are NAME, tab, MILLISECONDS; `#` begins a comment."""
    lines = pathlib.Path(file).read_text().splitlines()
    rows = [line.split("\t") for line in lines if line.strip() and not line.startswith("#")]
    return {name: float(millis) * 1e6 for name, millis in rows}


def words(nanoseconds):
    factor, unit = next((u for u in UNITS if nanoseconds >= u[0]), UNITS[-1])
    return f"{nanoseconds / factor:.2f} {unit}"


def verdict(measured, limit):
    if measured is None:
        return "NOT MEASURED"
    if limit is None:
        return ""
    return "ok" if measured <= limit else "TOO SLOW"


def main(directory, file):
    measured, allowed = medians(directory), limits(file)
    names = sorted(measured.keys() | allowed.keys())
    if not names:
        print("nothing was measured")
        return 1
    width = max(len(name) for name in names + ["bench"])
    print(f"{'bench':<{width}}  {'median':>10}  {'limit':>10}")
    bad = False
    for name in names:
        found, limit = measured.get(name), allowed.get(name)
        judged = verdict(found, limit)
        bad = bad or judged in ("NOT MEASURED", "TOO SLOW")
        cells = [words(value) if value is not None else "-" for value in (found, limit)]
        print(f"{name:<{width}}  {cells[0]:>10}  {cells[1]:>10}  {judged}".rstrip())
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
