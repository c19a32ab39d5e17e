"""Where tasks go: --distribution, as sbatch reads it and as srun finds it in SLURM_DISTRIBUTION."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ValueRefusedError
from .numbers import LARGEST_INT, leading

_OVER_NODES = ("block", "cyclic")
_WITHIN = ("block", "cyclic", "fcyclic")
_PACKING = ("pack", "nopack")


@dataclass(frozen=True)
class Distribution:
    """A distribution. `base` is None where only the packing was asked for; `plane` is the plane's size."""

    text: str
    base: str | None
    packing: str | None = None
    plane: int | None = None

    @property
    def is_arbitrary(self) -> bool:
        """Tell whether the node list alone says where each task goes."""
        return self.base == "arbitrary"

    @property
    def name(self) -> str:
        """The distribution as SLURM_DISTRIBUTION has it."""
        return ",".join(part for part in (self.base, self.packing) if part)


def read(text: str) -> Distribution:
    """Read --distribution's value. Raises ValueRefusedError."""
    if text[:5].lower() == "plane":
        size = text.partition("=")[2]
        number, rest = leading(size)
        if number is None or rest or not 0 < number <= LARGEST_INT:
            raise ValueRefusedError("plane needs a size: plane=4")
        return Distribution(text, "plane", plane=number)
    first, _, flag = text.lstrip().partition(",")
    packing = flag.lower() or None
    if first.lower() in _PACKING and packing is None:
        return Distribution(text, None, first.lower())
    base = _base(first)
    if base is None or packing not in (None, *_PACKING):
        raise ValueRefusedError(
            f'"{text}" is no distribution; write block, cyclic, plane=SIZE or arbitrary, up to three levels as in '
            "block:cyclic:fcyclic, then ,pack or ,nopack"
        )
    return Distribution(text, base, packing)


def _base(text: str) -> str | None:
    levels = [level.lower() for level in text.split(":")]
    if levels in (["arbitrary"], ["hostfile"]):
        return "arbitrary"
    defaults = ["block", "cyclic", levels[1] if len(levels) > 1 and levels[1] != "*" else "cyclic"]
    levels = [default if level == "*" else level for level, default in zip(levels, defaults, strict=False)]
    known = levels[0] in _OVER_NODES and all(level in _WITHIN for level in levels[1:])
    return ":".join(levels) if known and len(levels) == text.count(":") + 1 else None
