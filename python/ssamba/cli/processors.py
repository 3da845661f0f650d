"""How many processors this process may use: by its affinity, and by the quota of its control group.

A container with a quota of one processor still sees all of them. Threads for each share what there is, and wait for
the slowest of them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")


def affinity() -> int:
    """Processors that the system lets this process run on; all where it does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quota(root: Path = ROOT) -> float | None:
    """Processors' worth of time that this process gets: the least of its control groups' quotas, None without one.

    Reads `proc/self/cgroup` and what it names under `sys/fs/cgroup` of the file system `root` (Linux, cgroups(7)): of
    version 2 `cpu.max`, "quota period" or "max period"; of version 1 `cpu.cfs_quota_us`, -1 for none, and
    `cpu.cfs_period_us`; in each group up to the topmost that is visible, as an outer quota holds for all inside.
    """
    return min(filter(None, map(_quota_of, _groups(root))), default=None)


def _groups(root: Path) -> Iterator[Path]:
    """The folders of this process's control groups, from its own up to the topmost."""
    mounts = root / "sys" / "fs" / "cgroup"
    for line in _lines(root / "proc" / "self" / "cgroup"):
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers == "":  # version 2, beside version 1 under a name of its own
            tops = (mounts, mounts / "unified")
        elif "cpu" in controllers.split(","):
            tops = (mounts / controllers, mounts / "cpu")
        else:
            continue
        # In a container the path may be the host's, of which only the topmost group is there to be seen.
        inside = PurePosixPath(path.lstrip("/"))
        yield from (top / group for top in tops for group in (inside, *inside.parents))


def _quota_of(group: Path) -> float | None:
    values = " ".join(_lines(group / "cpu.max")).split()
    if not values:
        values = [*_lines(group / "cpu.cfs_quota_us"), *_lines(group / "cpu.cfs_period_us")]
    try:
        limit, period = map(int, values)
    except ValueError:  # none, "max", or something unknown
        return None
    return limit / period if limit > 0 and period > 0 else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def describe(allowed: int, limit: float | None) -> str:
    """`allowed` processors by affinity and `limit` by quota, in a line."""
    return f"{allowed} of {os.cpu_count()} by affinity" + (f", {limit:g} by quota" if limit else "")


def too_many(threads: int, allowed: int, limit: float | None) -> str | None:
    """What to do about `threads` where they are more than can run at once."""
    usable = min(allowed, limit or allowed)
    fitting = math.ceil(usable)
    if threads <= fitting:
        return None
    return (
        f"threads {threads}, but this {'process' if usable == allowed else 'container'} may use {usable:g} "
        f"processor{'' if usable == 1 else 's'}: set OMP_NUM_THREADS={fitting} (or torch.set_num_threads({fitting}))"
    )
