"""Control group hierarchies of the three layouts."""

from pathlib import Path

from cluster.cgroup import hierarchies

HYBRID = """\
30 24 0:26 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
32 30 0:28 / /sys/fs/cgroup/pids rw,relatime shared:9 - cgroup cgroup rw,pids
33 30 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
UNIFIED = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_version_2_alone():
    found = hierarchies(UNIFIED)

    assert (found.used, found.all, found.unified) == ([Path("/sys/fs/cgroup")], [Path("/sys/fs/cgroup")], True)


def test_in_the_hybrid_layout_version_1_is_used_and_version_2_is_cleaned_too():
    found = hierarchies(HYBRID)

    assert found.used == [Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/pids")]
    assert Path("/sys/fs/cgroup/unified") in found.all
    assert not found.unified
