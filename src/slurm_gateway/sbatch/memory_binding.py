"""Binding of tasks to memory: --mem-bind, as sbatch reads it and as srun finds it in SLURM_MEM_BIND."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from .errors import ValueRefusedError

_HEX = "0123456789abcdefABCDEF"
_MOST = 65_536
_KINDS = {"no": "none", "none": "none", "rank": "rank", "local": "local"}
_LISTS = {"map_mem": "map_mem", "mapmem": "map_mem", "mask_mem": "mask_mem", "maskmem": "mask_mem"}
_FLAGS = {
    "p": ("prefer", True),
    "prefer": ("prefer", True),
    "v": ("verbose", True),
    "verbose": ("verbose", True),
    "q": ("verbose", False),
    "quiet": ("verbose", False),
}
_SORTING = {"sort": ("sort", True), "nosort": ("sort", False)}


@dataclass(frozen=True)
class MemoryBinding:
    """A binding: its kind (`none`, `rank`, `local`, `map_mem`, `mask_mem` or empty), the kind's list, flags."""

    kind: str = ""
    items: str | None = None
    verbose: bool = False
    prefer: bool = False
    sort: bool = False

    @property
    def words(self) -> list[str]:
        """The binding as SLURM_MEM_BIND has it before the list."""
        flags = (("verbose", self.verbose), ("prefer", self.prefer), ("sort", self.sort))
        return [name for name, on in flags if on] + ([self.kind] if self.kind else [])

    @property
    def type_names(self) -> list[str]:
        """The binding as the REST API's `memory_binding_type`."""
        names = [word.upper().removesuffix("_MEM") for word in self.words]
        return names[-1:] + names[:-1] if self.kind else names


def read(text: str, before: MemoryBinding, *, sorting: bool) -> MemoryBinding:
    """Read --mem-bind's value, which adds to what the option said before.

    `sorting` says whether the release knows `sort`. Raises ValueRefusedError.
    """
    binding = replace(before, items=None)
    for token in _tokens(text):
        word = token.lower()
        flags = _FLAGS | _SORTING if sorting else _FLAGS
        lists = next((_LISTS[name] for name in _LISTS if word.startswith(name)), None)
        if word in flags:
            name, on = flags[word]
            binding = replace(
                binding,
                verbose=on if name == "verbose" else binding.verbose,
                prefer=on if name == "prefer" else binding.prefer,
                sort=on if name == "sort" else binding.sort,
            )
        elif word in _KINDS:
            binding = replace(binding, kind=_KINDS[word], items=None)
        elif lists:
            binding = replace(binding, kind=lists, items=_expand(re.split("[:=]", token, maxsplit=2)[1:2], lists))
        else:
            raise ValueRefusedError(
                f'"{token}" is no way to bind memory; write none, rank, local, map_mem:LIST or mask_mem:LIST'
            )
    return binding


def _tokens(text: str) -> list[str]:
    """Return what stands between the commas that no value of a list follows."""
    return re.sub(r",(?![0-9]|[0-9A-Fa-f]*(?:,|$))", ";", text).split(";")


def _expand(given: list[str], kind: str) -> str:
    """Return a list with its repetitions (`0*4`) written out, and masks without 0x."""
    items: list[str] = []
    for item in (given[0] if given else "").split(","):
        value, star, times = item.removeprefix("0x" if kind == "mask_mem" else "\0").partition("*")
        alphabet = _HEX if kind == "mask_mem" else _HEX[:10]
        if not set(value) <= set(alphabet) or (star and not (times.isascii() and times.isdigit() and int(times))):
            raise ValueRefusedError(f'"{item}" is no item of {kind}')
        if item:
            items.extend([value] * min(int(times) if star else 1, _MOST))
        if len(items) > _MOST:
            raise ValueRefusedError(f"the list has more than {_MOST} items")
    if not items:
        raise ValueRefusedError(f"{kind} needs a list: {kind}:0,1")
    return ",".join(items)
