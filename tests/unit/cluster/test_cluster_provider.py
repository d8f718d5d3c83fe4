"""Which provider is chosen, and why."""

import argparse

import pytest

from cluster.__main__ import parser, without_dashes
from cluster.command import CommandFailed, run
from cluster.provider import weigh


@pytest.mark.parametrize("wanted", ["kind", "local", "existing"])
def test_what_cluster_says_wins_over_what_is_there(wanted: str):
    choice = weigh({"CLUSTER": wanted}, "no Docker engine answers", None)

    assert choice.provider == wanted
    assert f"CLUSTER={wanted}" in choice.reason


def test_a_wrong_word_is_answered_with_the_right_ones():
    with pytest.raises(ValueError, match="CLUSTER=docker is none of kind, local, existing"):
        weigh({"CLUSTER": "docker"}, None, None)


def test_kind_is_taken_only_with_both_an_engine_and_the_node_image():
    assert weigh({}, None, None).provider == "kind"
    assert weigh({}, "no Docker engine answers", None).provider == "local"
    assert weigh({}, None, "the image cannot be pulled").provider == "local"


def test_the_reason_is_what_hindered():
    assert weigh({}, "no Docker engine answers", "x").reason == "no Docker engine answers"
    assert weigh({}, None, "the image cannot be pulled").reason == "the image cannot be pulled"


def test_the_command_after_the_dashes_is_left_as_it_is():
    asked: argparse.Namespace = parser().parse_args(["exec", "node2", "--", "ls", "-l", "--", "x"])

    assert (asked.node, without_dashes(asked.argv)) == ("node2", ["ls", "-l", "--", "x"])


def test_a_failed_command_tells_its_code_and_its_words():
    with pytest.raises(CommandFailed, match="ended with 3: sorry") as caught:
        run(["sh", "-c", "echo sorry >&2; exit 3"])

    assert (caught.value.returncode, caught.value.stderr) == (3, "sorry\n")


def test_a_missing_command_and_a_slow_one_are_failures_too():
    with pytest.raises(CommandFailed, match="not installed") as missing:
        run(["no-such-command-here"])
    with pytest.raises(CommandFailed, match="no end within") as slow:
        run(["sleep", "30"], timeout=0.05)

    assert (missing.value.returncode, slow.value.returncode) == (127, 124)
