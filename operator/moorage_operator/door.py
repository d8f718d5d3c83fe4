"""What may enter the index: objects of our kinds whose fields have the shapes that we know.

A CRD of another version, or one that somebody loosened, admits others. Such an object is not forgotten (what is made
for it, or waits for it, must not go), but it enters without spec and status: nobody trips over them, and a reconcile of
it ends in one line and one count.
"""

import logging

from pydantic import ValidationError

from moorage import model
from moorage.actions import Manifest

_MODELS = {kind.__name__: kind for kind in model.KINDS}

log = logging.getLogger(__name__)


def admit(body: Manifest) -> Manifest:
    """The object, or only what Kubernetes itself keeps in it. Values that we do not know, in known shapes, may pass."""
    kind = _MODELS.get(body["kind"])
    if kind is None:
        return body
    try:
        kind.model_validate(body)
    except ValidationError as error:
        wrong = [each for each in error.errors(include_input=False, include_url=False) if _is_shape(each["type"])]
        if not wrong:
            return body
        metadata = body["metadata"]
        where = ", ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in wrong)
        log.error("%s %s/%s cannot be read: %s", body["kind"], metadata.get("namespace", ""), metadata["name"], where)
        return {key: body[key] for key in ("apiVersion", "kind", "metadata")}
    return body


def _is_shape(error: str) -> bool:
    """Of pydantic's names of errors: those of a string in the place of a list, and the like."""
    return error.endswith(("_type", "_parsing"))
