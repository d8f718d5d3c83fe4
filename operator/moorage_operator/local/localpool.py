"""The pool of a node: images on its disk. A device of one may outlive the agent that made it."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from moorage_operator.agent import loop
from moorage_operator.agent.pool import Pool


class LocalPool(Pool):
    @contextmanager
    def attached(self, volume_id: str) -> Generator[Path]:
        """The device that there is already, if a pod still has it: two devices of one image would be two truths."""
        known = loop.bound(self.image(volume_id))
        if known:
            yield known
            return
        with loop.attached(self.image(volume_id)) as device:
            yield device

    def in_use(self, volume_id: str) -> bool:
        """Whether anybody on this node has it mounted, here or elsewhere."""
        image = self.image(volume_id)
        return image.exists() and loop.bound(image) is not None
