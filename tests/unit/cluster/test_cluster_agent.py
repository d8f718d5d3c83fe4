"""The agent inside user-mode-linux nodes, run here as itself."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

AGENT = Path(__file__).parents[2] / "e2e/cluster/init/agent.py"


@pytest.fixture
def port(tmp_path: Path):
    (tmp_path / "token").write_text("secret\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    agent = subprocess.Popen([sys.executable, str(AGENT), str(tmp_path / "token"), str(number)])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", number), 1).close()
            break
        except OSError:
            time.sleep(0.02)
    yield number
    agent.kill()
    agent.wait()


def ask(port: int, argv: list[str], word: str = "secret", timeout: float = 60, stdin: str = ""):
    question = {"token": word, "argv": argv, "timeout": timeout, "stdin": stdin}
    with socket.create_connection(("127.0.0.1", port), 60) as link, link.makefile("rwb") as stream:
        stream.write(json.dumps(question).encode() + b"\n")
        stream.flush()
        line = stream.readline()
    return json.loads(line) if line else None


def test_a_command_is_answered_with_its_code_and_both_streams(port: int):
    answer = ask(port, ["sh", "-c", "cat; echo bad >&2; exit 5"], stdin="in")

    assert answer == {"code": 5, "stdout": "in", "stderr": "bad\n"}


def test_without_the_token_there_is_no_answer(port: int, tmp_path: Path):
    assert ask(port, ["touch", str(tmp_path / "done")], word="wrong") is None
    assert not (tmp_path / "done").exists()


def test_a_missing_command_is_127_and_a_slow_one_124(port: int):
    assert ask(port, ["no-such-command"])["code"] == 127
    assert ask(port, ["sleep", "30"], timeout=0.1)["code"] == 124


def test_a_question_that_is_none_does_not_end_the_agent(port: int):
    with socket.create_connection(("127.0.0.1", port), 60) as link:
        link.sendall(b"nonsense\n")

    assert ask(port, ["true"])["code"] == 0
