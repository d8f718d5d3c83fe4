"""One tree of errors. The class carries the code; the message says what to do.

MoorageError
├── InvalidInput        what was asked breaks a rule                      INVALID_ARGUMENT
├── NotFound            what was named does not exist                     NOT_FOUND
├── AlreadyExists       it exists with other properties                   ALREADY_EXISTS
├── InUse               somebody still holds it                           FAILED_PRECONDITION
├── OutOfRange          a size that cannot be had                         OUT_OF_RANGE
├── NoCapacity          the backend is full                               RESOURCE_EXHAUSTED
├── Forbidden           the asker may not have it                         PERMISSION_DENIED
├── Unauthenticated     the credentials given are not, or no longer, valid   UNAUTHENTICATED
├── NotOffered          Moorage does not do this                          UNIMPLEMENTED
└── Retry               not now; the same call may pass later             UNAVAILABLE
    ├── NotReady        the volume or backend is still being prepared     UNAVAILABLE
    ├── Pending         the same operation is under way                   ABORTED
    └── DeadlineExceeded  an outside command or mount took too long       DEADLINE_EXCEEDED
"""


class MoorageError(Exception):
    """Base of all. `code` is a gRPC status name; `reason` a CamelCase condition reason."""

    code = "INTERNAL"
    retry_after: float | None = None

    @property
    def reason(self) -> str:
        return type(self).__name__


class InvalidInput(MoorageError):
    code = "INVALID_ARGUMENT"


class NotFound(MoorageError):
    code = "NOT_FOUND"


class AlreadyExists(MoorageError):
    code = "ALREADY_EXISTS"


class InUse(MoorageError):
    code = "FAILED_PRECONDITION"
    retry_after = 5.0


class OutOfRange(MoorageError):
    code = "OUT_OF_RANGE"


class NoCapacity(MoorageError):
    code = "RESOURCE_EXHAUSTED"
    retry_after = 10.0


class Forbidden(MoorageError):
    code = "PERMISSION_DENIED"


class Unauthenticated(MoorageError):
    code = "UNAUTHENTICATED"
    retry_after = 5.0


class NotOffered(MoorageError):
    code = "UNIMPLEMENTED"


class Retry(MoorageError):
    code = "UNAVAILABLE"
    retry_after = 2.0


class NotReady(Retry):
    pass


class Pending(Retry):
    code = "ABORTED"
    retry_after = 1.0


class DeadlineExceeded(Retry):
    code = "DEADLINE_EXCEEDED"
