"""Processes are known by more than their pid."""

import dataclasses
import json
import os
import signal
import subprocess
import sys

import pytest

from cluster.process import Identity, alive, children, identify, kill, parse_stat
from cluster.remains import loops_on

LINE = "1234 (a (b) c) S 77 1234 1234 0 -1 4194560 5 0 0 0 1 2 0 0 20 0 1 0 998877 1 2 3"


@pytest.fixture
def sleeper():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield child
    child.kill()
    child.wait()


def known(pid: int) -> Identity:
    who = identify(pid)
    assert who is not None
    return who


def test_a_stat_line_is_read_right_whatever_the_commands_name():
    stat = parse_stat(LINE)

    assert (stat.state, stat.parent, stat.start) == ("S", 77, 998877)


def test_a_running_process_is_alive_and_an_ended_one_is_not(sleeper):
    who = known(sleeper.pid)
    assert alive(who)

    kill(who)

    assert sleeper.wait(10) == -signal.SIGKILL
    assert not alive(who)


def test_a_zombie_is_not_alive(sleeper):
    who = known(sleeper.pid)

    os.kill(sleeper.pid, signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)

    assert not alive(who)


@pytest.mark.parametrize("change", [{"start": 1}, {"boot": "another"}])
def test_another_process_with_the_same_pid_is_neither_alive_nor_killed(sleeper, change):
    stranger = dataclasses.replace(known(sleeper.pid), **change)

    kill(stranger)

    assert not alive(stranger)
    assert alive(known(sleeper.pid))
    assert sleeper.poll() is None


def test_a_pid_that_is_not_there_has_no_identity():
    assert identify(2**22 + 1) is None


def test_loop_devices_are_known_by_the_file_they_stand_on_however_losetup_pads_its_numbers():
    devices = [("/dev/loop0", 7, "     254:0  "), ("/dev/loop1", 7, "  8:1  "), ("/dev/loop2", 9, "254:0")]
    listed = json.dumps({"loopdevices": [{"name": n, "back-ino": i, "back-maj:min": d} for n, i, d in devices]})

    assert loops_on(listed, os.makedev(254, 0), {7}) == ["/dev/loop0"]


def test_children_are_found(sleeper):
    assert sleeper.pid in children(os.getpid())
