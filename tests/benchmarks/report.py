"""The table of a run, and what it says: whether the floor is the floor, and whether the targets are met."""

from __future__ import annotations

from statistics import median

Rows = dict[tuple[str, str], list[dict[str, float]]]

FLOOR = {"W1": (24, 13.8), "W2": (65, 33.2), "W3": (22, 20.0), "W4": (246, 178.3), "W5": (7, 4.7)}
"""Requests and MB of the floor in the measurements that this world imitates."""
PEER = {"W1": 1.60, "W2": 2.46, "W3": 1.35, "W4": 2.24, "W5": 2.26}
"""async-geotiff's shortest wall time over the floor's there (W5: over the floor with the scanline mask)."""
NOISE = 0.2
"""A floor that is slower than async-geotiff suggests by more than this is no floor: its rows do not count."""
FACTORS = {"W2": 1.3, "W3": 1.3, "W4": 1.3, "W5": 1.5}
"""Target of ours through SQL, times the floor; W1's is the floor plus `PLUS` seconds."""
PLUS = {"W1": 0.035}
MOST_BYTES = 1.1


def table(rows: Rows) -> list[str]:
    """Markdown, one line for each workload and engine."""
    lines = [
        "| W | engine | wall s median | min | requests | MB | CPU s | peak MB | in flight | vs floor |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (name, engine), reps in sorted(rows.items(), key=lambda item: item[0][0]):
        walls = [rep["wall"] for rep in reps]
        floor = rows.get((name, "floor"))
        ratio = f"{median(walls) / _wall(floor):.2f}" if floor else ""
        lines.append(
            f"| {name} | {engine} | {median(walls):.3f} | {min(walls):.3f} | {_of(reps, 'requests'):.0f} "
            f"| {_of(reps, 'bytes') / 1e6:.1f} | {_of(reps, 'cpu'):.2f} "
            f"| {_of(reps, 'peak_mb'):.0f} (+{_of(reps, 'delta_mb'):.0f}) | {_of(reps, 'in_flight'):.0f} | {ratio} |"
        )
    return lines


def findings(rows: Rows) -> tuple[list[str], bool]:
    """One line for each thing to be shown, and whether any was missed."""
    said: list[tuple[bool, str]] = []
    for name, (requests, megabytes) in FLOOR.items():
        floor = rows.get((name, "floor"))
        if not floor:
            continue
        mine = (_of(floor, "requests"), _of(floor, "bytes") / 1e6)
        near = all(abs(a / b - 1) <= 0.05 for a, b in zip(mine, (requests, megabytes), strict=True))
        said.append(
            (near, f"{name} floor: {mine[0]:.0f} requests, {mine[1]:.1f} MB; reference {requests}, {megabytes}")
        )
        if peer := rows.get((name, "async-geotiff")):
            ratio = min(rep["wall"] for rep in peer) / min(rep["wall"] for rep in floor)
            text = f"{name} async-geotiff / floor, shortest times: {ratio:.2f}; reference {PEER[name]}"
            said.append((ratio >= (1 - NOISE) * PEER[name], text))
        if ours := rows.get((name, "ours-sql")):
            limit = _wall(floor) * FACTORS.get(name, 1) + PLUS.get(name, 0)
            said.append((_wall(ours) <= limit, f"{name} ours-sql: {_wall(ours):.3f} s; target {limit:.3f} s"))
            share = _of(ours, "bytes") / _of(floor, "bytes")
            said.append(
                (share <= MOST_BYTES, f"{name} ours-sql: {share:.3f} of the floor's bytes; target {MOST_BYTES}")
            )
    return [f"- {'ok' if good else 'MISSED'} {text}" for good, text in said], not all(good for good, _ in said)


def _of(reps: list[dict[str, float]], what: str) -> float:
    return median(rep[what] for rep in reps)


def _wall(reps: list[dict[str, float]]) -> float:
    return _of(reps, "wall")
