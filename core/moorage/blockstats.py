"""What the kernel counts of a block device: /sys/dev/block/<major>:<minor>/stat (Documentation/block/stat.rst).

Numbers by spaces: of reads and then of writes how many, how many were merged, sectors and milliseconds; how many are
under way and two times; as for reads of discards (since Linux 4.18); of flushes how many and milliseconds (5.5).
"""

from moorage import volumemetrics as metrics
from moorage.volumemetrics import Labels, Page

_SECTOR = 512  # bytes, whatever the device's own are
_MILLISECONDS = 1000.0
_FIRST = {"read": 0, "write": 4, "discard": 11, "flush": 15}
_DIRECTIONS = ("read", "write")


def tell(page: Page, labels: Labels, text: str) -> None:
    """Add the samples of the volume on that device: what reached it, behind the page cache. Nothing for what is no
    such text."""
    try:
        numbers = [int(word) for word in text.split()]
    except ValueError:
        return
    for name, first in _FIRST.items():
        time = first + (1 if name == "flush" else 3)
        if len(numbers) > time:
            page.add(metrics.OPERATIONS, labels, numbers[first], operation=name)
            page.add(metrics.SECONDS, labels, numbers[time] / _MILLISECONDS, operation=name)
            if name in _DIRECTIONS:
                page.add(metrics.BYTES, labels, numbers[first + 2] * _SECTOR, direction=name)
