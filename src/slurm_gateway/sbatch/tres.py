"""Trackable resources in options: --gres, --gpus..., --tres-per-task, --gpu-bind, --gpu-freq.

sbatch keeps what a task needs in one string: --cpus-per-task and --gpus-per-task go into --tres-per-task, and
what a task needs of a generic resource it is also bound to.
"""

from __future__ import annotations

import re

from .errors import ValueRefusedError
from .numbers import leading

_SHARED = ("mps", "shard")
_NOT_PER_TASK = ("mem", "energy", "node", "billing", "fs", "vmem", "pages", "bb")
_LEVELS = ("low", "medium", "high", "highm1")
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4, "p": 1024**5}


def gres(text: str) -> str | None:
    """Return --gres's value with `gres/` before each, None for `none`. Raises ValueRefusedError."""
    if text.lower() in ("help", "list"):
        raise ValueRefusedError("sbatch prints the generic resources at this and submits nothing")
    if text.lower() == "none":
        return None
    return ",".join(f"gres/{part.removeprefix('gres/')}" for part in text.split(","))


def gpus(text: str) -> str:
    """Return a count of GPUs, or a list by type, as trackable resources."""
    return ",".join(f"gres/gpu:{part}" for part in text.split(",") if part)


def gpu_binding(text: str) -> str:
    """Return --gpu-bind's value as --tres-bind's. Raises ValueRefusedError."""
    for part in f"gres/gpu:{text}".split("+"):
        name, colon, way = part.partition(":")
        if not name.startswith("gres/") or not colon or not _is_binding(name[5:], way):
            raise ValueRefusedError(
                f'"{part}" is no binding; write none, closest, single:TASKS, per_task:GPUS, map:LIST or mask:LIST'
            )
    return f"gres/gpu:{text}"


def _is_binding(name: str, way: str) -> bool:
    way = way.lower().removeprefix("verbose,")
    if way.startswith("none"):
        return True
    if way.startswith("per_task:") or (way.startswith("single:") and name not in _SHARED):
        return not way.partition(":")[2].lstrip().startswith("-")
    if name in _SHARED:
        return False
    if way.startswith("closest"):
        return True
    kind, colon, items = way.partition(":")
    digits = {"map": "[0-9]+", "map_gpu": "[0-9]+", "mask": "(0x)?[0-9a-f]+", "mask_gpu": "(0x)?[0-9a-f]+"}.get(kind)
    return bool(colon and digits) and all(
        re.fullmatch(rf"{digits}(\*[0-9]+)?", item) for item in items.split(",") if item
    )


def gpu_frequency(text: str) -> str:
    """Return --gpu-freq's value as the REST API's `tres_freq`. Raises ValueRefusedError."""
    for part in text.split(","):
        value = part.removeprefix("memory=")
        if not (value.isascii() and value.isdigit()) and value not in _LEVELS and part != "verbose":
            raise ValueRefusedError(
                f'"{part}" is no GPU frequency; write MHz, low, medium, high or highm1, also memory=...'
            )
    return f"gpu:{text}"


def per_task(text: str | None) -> str | None:
    """Return --tres-per-task's value in Slurm's own form. Raises ValueRefusedError for what no task can have."""
    for name in _NOT_PER_TASK:
        if text and (text.lower().startswith(name) or f",{name}" in text.lower()):
            raise ValueRefusedError(f"{name} is nothing that a task can have")
    if text is None:
        return None
    parts = [re.sub(r"\A(license|gres):", r"\1/", part) for part in text.split(",")]
    return ",".join(part for part in parts if part) if ("license:" in text or "gres:" in text) else text


def gpus_of_task(text: str) -> list[tuple[str, int]]:
    """Return --gpus-per-task's value as pairs of a resource's name and its count."""
    pairs: list[tuple[str, int]] = []
    for part in text.split(","):
        kind, separator, number = part.partition(":" if ":" in part else "=")
        name = f"gres/gpu:{kind}" if separator else "gres/gpu"
        pairs.append((name, leading(number if separator else kind)[0] or 0))
    return pairs


def with_count(name: str, count: int, task: str | None) -> str | None:
    """Return a task's resources with `count` of one more, which goes to the front."""
    if not count:
        return task
    return f"{name}={count},{task}" if task else f"{name}={count}"


def cpus_of_task(task: str | None) -> int | None:
    """Return the CPUs in a task's resources, or None. Raises ValueRefusedError where they are none."""
    found = re.search("cpu", task or "", re.IGNORECASE)
    if not found:
        return None
    cpus = leading((task or "")[found.end() + 1 :])[0] or 0
    if cpus <= 0:
        raise ValueRefusedError(f"cpu={cpus} is no number of CPUs")
    return cpus


def implied_binding(task: str | None, binding: str | None) -> str | None:
    """Return the binding with each of a task's generic resources bound to it that it does not name yet."""
    gpus = 0
    for name, _, count in generic(task):
        if binding and name in binding:
            continue
        if name == "gpu":
            gpus += count
            continue
        binding = f"{binding}+gres/{name}:per_task:{count}" if binding else f"gres/{name}:per_task:{count}"
    if gpus:
        binding = f"{binding}+gres/gpu:per_task:{gpus}" if binding else f"gres/gpu:per_task:{gpus}"
    return binding


def generic(text: str | None) -> list[tuple[str, str, int]]:
    """Return name, type (empty for any) and count of each generic resource in a list of trackable resources."""
    found: list[tuple[str, str, int]] = []
    for part in (text or "").split(","):
        if not part.startswith("gres/"):
            continue
        name, *rest = part.removeprefix("gres/").replace("=", ":").split(":")
        count = re.fullmatch(r"([0-9]+)([kmgtp]?)", rest[-1].lower(), re.ASCII) if rest else None
        kind = ":".join(rest[:-1] if count else rest)
        found.append((name, kind, int(count[1]) * _UNITS[count[2]] if count else 1))
    return found
