"""A FUSE server with an empty root folder, on a connection that another process mounted: as moorfs is called.

tinyfuse.py --fd N --config FILE [--takeover]. It notes its starts in the file `log` beside the cache directory that
FILE names, and dies at once when the file `die` lies there; where `old` lies it takes nothing over, as moorfs does on a
kernel that cannot send again. It stands for moorfs in tests of the mounter.
"""

import errno
import json
import os
import socket
import struct
import sys
import threading
from pathlib import Path

IN = struct.Struct("<IIQQIIIHH")
OUT = struct.Struct("<IiQ")
INIT, GETATTR, FORGET, STATFS = 26, 3, 2, 17


def answer(opcode: int) -> bytes:
    if opcode == INIT:
        return struct.pack("<IIIIHHIIHHIIH22x", 7, 31, 0, 0, 16, 12, 1 << 16, 1, 16, 0, 0, 0, 0)
    if opcode == GETATTR:
        attributes = struct.pack("<QQQQQQIIIIIIIIII", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)
        return struct.pack("<QII", 0, 0, 0) + attributes
    if opcode == STATFS:
        return struct.pack("<QQQQQIIII24x", 1, 1, 1, 1, 1, 4096, 255, 4096, 0)
    raise OSError(errno.ENOSYS, "no such request")


def serve(device: int) -> None:
    while True:
        try:
            request = os.read(device, 1 << 18)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return
            raise
        _, opcode, unique, *_ = IN.unpack_from(request)
        if opcode == FORGET:
            continue
        try:
            body, code = answer(opcode), 0
        except OSError as error:
            body, code = b"", -error.errno
        os.write(device, OUT.pack(OUT.size + len(body), code, unique) + body)


def control(path: str) -> None:
    """Answers every request with OK."""
    Path(path).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    while True:
        connection, _ = listener.accept()
        connection.recv(1 << 16)
        answer = json.dumps({"code": "OK"}).encode()
        connection.sendall(struct.pack(">I", len(answer)) + answer)
        connection.close()


def main(arguments: list[str]) -> None:
    device, config = int(arguments[1]), json.loads(Path(arguments[3]).read_text())
    key = json.loads(Path(config["keyFile"]).read_text())["AWS_ACCESS_KEY_ID"]
    folder = Path(config["cache"]).parent
    with open(folder / "log", "a") as log:
        print("takeover" if "--takeover" in arguments else "fresh", key, file=log)
    if (folder / "die").exists():
        sys.exit(1)
    if "--takeover" in arguments and (folder / "old").exists():
        sys.exit(3)
    threading.Thread(target=control, args=(config["socket"],), daemon=True).start()
    serve(device)


if __name__ == "__main__":
    main(sys.argv[1:])
