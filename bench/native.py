"""The native path: one job read and submitted through the gateway, against slurmrestd itself."""

from __future__ import annotations

from functools import partial

from bench.clients import alice_token, median_line, milliseconds, sides, stack_environment

ROUNDS = 200
WARM_UP = 10


def main() -> None:
    """Measure both sides in turn, A B A B, and print the medians with their ratio."""
    env = stack_environment()
    gateway, slurmrestd = sides(env, alice_token(env))
    job_id = slurmrestd.submit()
    for side in (gateway, slurmrestd):
        for _ in range(WARM_UP):
            side.read(job_id)
            side.submit()
    reads: dict[str, list[float]] = {"gateway": [], "slurmrestd": []}
    submits: dict[str, list[float]] = {"gateway": [], "slurmrestd": []}
    for _ in range(ROUNDS):
        for side in (gateway, slurmrestd):
            reads[side.name].append(milliseconds(partial(side.read, job_id)))
            submits[side.name].append(milliseconds(side.submit))
    print(f"Native path, {ROUNDS} rounds, medians (the local gateway; AWS's own adds its own time)")
    print(f"{'':<28} {'gateway':>12} {'slurmrestd':>12}   ratio   difference")
    print(median_line("GET one job", reads["gateway"], reads["slurmrestd"]))
    print(median_line("submit a job", submits["gateway"], submits["slurmrestd"]))


if __name__ == "__main__":
    main()
