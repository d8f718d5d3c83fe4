"""Debian as this machine knows it: which mirror its own apt uses, and trees made from it."""

from __future__ import annotations

import os
from pathlib import Path

from .command import CommandFailed, run
from .progress import say

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def pick_mirror(targets: str) -> str | None:
    """The main Debian mirror among `apt-get indextargets` lines of the form `origin|suite|site|repository`."""
    for line in targets.splitlines():
        origin, _, rest = line.partition("|")
        suite, _, uri = rest.partition("|")
        if origin == "Debian" and not suite.endswith(("-updates", "-security", "-backports")):
            return uri.rstrip("/")
    return None


def mirror() -> str | None:
    """The URI that this machine's apt fetches Debian from (`MOORAGE_DEBIAN_MIRROR` overrides); None if it has none."""
    if told := os.environ.get("MOORAGE_DEBIAN_MIRROR"):
        return told.rstrip("/")
    try:
        known = run(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(SUITE)|$(REPO_URI)"]).stdout
    except CommandFailed as error:
        say(f"apt does not say where it fetches from: {error}")
        return None
    return pick_mirror(known)
