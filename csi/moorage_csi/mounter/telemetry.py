"""Metrics of the volumes of a node: what each moorfs tells of its own, put together."""

import asyncio
import re
from collections.abc import Iterable

from moorage_csi.mounter.kept import Kept

_SECONDS = 2.0  # one that is busy is left out of this scrape
_SAMPLE = re.compile(r"^([A-Za-z_:][A-Za-z0-9_:]*)")
_SUFFIXES = ("_bucket", "_sum", "_count")  # of a histogram's samples


async def collect(mounts: Iterable[Kept]) -> str:
    """In Prometheus' text format; of those that answer in time."""
    texts = await asyncio.gather(*(kept.metrics(_SECONDS) for kept in mounts))
    return merged(texts)


def merged(texts: Iterable[str]) -> str:
    """All samples of one metric together, after one HELP and one TYPE, as the format demands."""
    heads: dict[str, dict[str, str]] = {}
    samples: dict[str, list[str]] = {}
    for line in (line for text in texts for line in text.splitlines() if line):
        if line.startswith("# "):
            _, word, name, *_ = line.split(" ", 3)
            heads.setdefault(name, {}).setdefault(word, line)
        elif found := _SAMPLE.match(line):
            samples.setdefault(_family(found[1], heads), []).append(line)
    lines = (line for name, found in samples.items() for line in (*heads.get(name, {}).values(), *found))
    return "".join(f"{line}\n" for line in lines)


def _family(sample: str, known: Iterable[str]) -> str:
    stem = next((sample.removesuffix(each) for each in _SUFFIXES if sample.endswith(each)), sample)
    return stem if stem in known and sample not in known else sample
