"""Settings of a bucket by plain S3 calls: lock, life cycle, CORS. Each `ensure` gives whether it changed anything.

Sources: the S3 API reference, PutObjectLockConfiguration, PutBucketLifecycleConfiguration, PutBucketCors.
"""

from collections.abc import Iterator
from xml.etree.ElementTree import Element, SubElement, tostring

from moorage.model import CorsRule, LifecycleRule, LockMode, Method, ObjectLock
from moorage_operator.s3 import NOT_IMPLEMENTED, S3, EngineRefused
from moorage_operator.s3xml import children, md5, parse, text

_XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"
_NONE = frozenset(
    {
        "ObjectLockConfigurationNotFoundError",
        "NoSuchObjectLockConfiguration",
        "NoSuchLifecycleConfiguration",
        "NoSuchCORSConfiguration",
    }
)

# The lock.


async def lock(s3: S3, bucket: str) -> ObjectLock | None:
    """The rule for new versions; None when there is none, whether the bucket could have one or not."""
    tree = await _get(s3, bucket, "object-lock")
    rule = next((each for each in tree.iter() if each.tag.rpartition("}")[2] == "DefaultRetention"), None)
    if rule is None:
        return None
    mode, days, years = (text(rule, name) for name in ("Mode", "Days", "Years"))
    strict = LockMode.Compliance if mode == "COMPLIANCE" else LockMode.Governance
    # Not validated: what somebody wrote there may break our rules, and has to be seen nevertheless.
    return ObjectLock.model_construct(mode=strict, days=int(days or 0) + 365 * int(years or 0))


async def ensure_lock(s3: S3, bucket: str, wanted: ObjectLock) -> bool:
    """Nothing here takes a lock away."""
    if await lock(s3, bucket) == wanted:
        return False
    root = _root("ObjectLockConfiguration")
    _leaf(root, "ObjectLockEnabled", "Enabled")
    retention = SubElement(SubElement(root, "Rule"), "DefaultRetention")
    _leaf(retention, "Mode", wanted.mode.upper())
    _leaf(retention, "Days", wanted.days)
    await _put(s3, bucket, "object-lock", root)
    return True


# Life cycle.


async def lifecycle(s3: S3, bucket: str) -> tuple[LifecycleRule, ...]:
    """The rules that are on, as far as `LifecycleRule` can say them."""
    tree = await _get(s3, bucket, "lifecycle")
    return tuple(_expiry(each) for each in children(tree, "Rule") if text(each, "Status") == "Enabled")


def _expiry(rule: Element) -> LifecycleRule:
    inside = next(children(rule, "Filter"), rule)
    both = next(children(inside, "And"), inside)
    return LifecycleRule.model_construct(
        prefix=text(both, "Prefix") or text(rule, "Prefix") or "",
        expire_days=_days(rule, "Expiration", "Days"),
        noncurrent_days=_days(rule, "NoncurrentVersionExpiration", "NoncurrentDays"),
        abort_multipart_days=_days(rule, "AbortIncompleteMultipartUpload", "DaysAfterInitiation"),
    )


async def ensure_lifecycle(s3: S3, bucket: str, wanted: tuple[LifecycleRule, ...]) -> bool:
    if await lifecycle(s3, bucket) == wanted:
        return False
    if not wanted:
        await s3.call("DELETE", f"/{bucket}", (("lifecycle", ""),))
        return True
    root = _root("LifecycleConfiguration")
    for number, each in enumerate(wanted):
        rule = SubElement(root, "Rule")
        _leaf(rule, "ID", f"moorage-{number}")
        _leaf(SubElement(rule, "Filter"), "Prefix", each.prefix)
        _leaf(rule, "Status", "Enabled")
        _put_days(rule, "Expiration", "Days", each.expire_days)
        _put_days(rule, "NoncurrentVersionExpiration", "NoncurrentDays", each.noncurrent_days)
        _put_days(rule, "AbortIncompleteMultipartUpload", "DaysAfterInitiation", each.abort_multipart_days)
    await _put(s3, bucket, "lifecycle", root)
    return True


# CORS.


async def cors(s3: S3, bucket: str) -> tuple[CorsRule, ...]:
    tree = await _get(s3, bucket, "cors")
    return tuple(_cors_rule(each) for each in children(tree, "CORSRule"))


def _cors_rule(rule: Element) -> CorsRule:
    names = ("AllowedOrigin", "AllowedMethod", "AllowedHeader", "ExposeHeader")
    origins, methods, headers, expose = (tuple(each.text or "" for each in children(rule, name)) for name in names)
    age = text(rule, "MaxAgeSeconds")
    return CorsRule.model_construct(
        origins=origins,
        methods=tuple(Method(each) if each in set(Method) else each for each in methods),
        headers=headers,
        expose=expose,
        max_age_seconds=int(age) if age else None,
    )


async def ensure_cors(s3: S3, bucket: str, wanted: tuple[CorsRule, ...]) -> bool:
    if await cors(s3, bucket) == wanted:
        return False
    if not wanted:
        await s3.call("DELETE", f"/{bucket}", (("cors", ""),))
        return True
    root = _root("CORSConfiguration")
    for each in wanted:
        rule = SubElement(root, "CORSRule")
        for name, value in _cors_leaves(each):
            _leaf(rule, name, value)
    await _put(s3, bucket, "cors", root)
    return True


def _cors_leaves(rule: CorsRule) -> Iterator[tuple[str, str | int]]:
    yield from (("AllowedOrigin", each) for each in rule.origins)
    yield from (("AllowedMethod", each) for each in rule.methods)
    yield from (("AllowedHeader", each) for each in rule.headers)
    yield from (("ExposeHeader", each) for each in rule.expose)
    if rule.max_age_seconds is not None:
        yield "MaxAgeSeconds", rule.max_age_seconds


# XML.


async def _get(s3: S3, bucket: str, what: str) -> Element:
    try:
        return parse(await s3.call("GET", f"/{bucket}", ((what, ""),)))
    except EngineRefused as error:
        if error.s3_code in _NONE or error.status == NOT_IMPLEMENTED:
            return Element("None")
        raise


async def _put(s3: S3, bucket: str, what: str, root: Element) -> None:
    body = tostring(root)
    await s3.call("PUT", f"/{bucket}", ((what, ""),), body, {"content-md5": md5(body)})


def _root(name: str) -> Element:
    return Element(name, {"xmlns": _XMLNS})


def _leaf(parent: Element, name: str, value: str | int) -> None:
    SubElement(parent, name).text = str(value)


def _days(rule: Element, block: str, name: str) -> int | None:
    found = next(children(rule, block), None)
    value = text(found, name) if found is not None else None
    return int(value) if value else None


def _put_days(rule: Element, block: str, name: str, days: int | None) -> None:
    if days is not None:
        _leaf(SubElement(rule, block), name, days)
