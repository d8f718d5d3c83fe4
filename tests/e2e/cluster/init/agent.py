"""Runs commands in a user-mode-linux node for the machine: one JSON line in, one JSON line out, over TCP.

Asked: {"token", "argv", "timeout" (seconds), "stdin"}. Answered: {"code", "stdout", "stderr"}; 124 is a time-out.
It is started inside the node as `agent.py TOKEN_FILE PORT`, with Debian's minimal Python only.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import Any


def carry_out(asked: dict[str, Any]) -> dict[str, Any]:
    """Run what is asked and say how it went; its whole process group is killed at the time-out."""
    try:
        child = subprocess.Popen(
            asked["argv"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return {"code": 127, "stdout": "", "stderr": f"{asked['argv'][0]}: {error.strerror}\n"}
    try:
        out, err = child.communicate(asked.get("stdin", "").encode(), asked["timeout"])
        code = child.returncode if child.returncode >= 0 else 128 - child.returncode
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        out, err, code = b"", f"no end within {asked['timeout']} s\n".encode(), 124
    return {"code": code, "stdout": out.decode(errors="replace"), "stderr": err.decode(errors="replace")}


def answer(connection: socket.socket, token: str) -> None:
    """One question, one answer; whoever lacks the token is hung up on."""
    with connection, connection.makefile("rwb") as stream:
        try:
            asked: Any = json.loads(stream.readline())
        except ValueError:
            return
        if isinstance(asked, dict) and "argv" in asked and asked.get("token") == token:  # pyright: ignore
            said = carry_out(asked)  # pyright: ignore[reportUnknownArgumentType]
            stream.write(json.dumps(said).encode() + b"\n")


def main() -> None:
    with open(sys.argv[1]) as file:
        token = file.read().strip()
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("0.0.0.0", int(sys.argv[2])))  # noqa: S104 - only the machine reaches the node; the token guards it
    server.listen(16)
    while True:
        connection, _ = server.accept()
        threading.Thread(target=answer, args=(connection, token), daemon=True).start()


if __name__ == "__main__":
    main()
