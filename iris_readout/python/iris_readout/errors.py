"""Every exception that the package raises on purpose.

::

    Error
    ├── InvalidValueError   (ValueError)    a number, a shape, a time or a map cannot be used
    ├── InvalidTypeError    (TypeError)     an argument or an array has the wrong type
    ├── StateError          (RuntimeError)  a call out of order
    ├── OutOfMemoryError    (MemoryError)   memory could not be had
    └── LibraryError        (ImportError)   the C library is missing or does not fit
"""

__all__ = [
    "Error",
    "InvalidTypeError",
    "InvalidValueError",
    "LibraryError",
    "OutOfMemoryError",
    "StateError",
]


class Error(Exception):
    """Base of all errors of the package."""


class InvalidValueError(Error, ValueError):
    """A number, a shape, a time or a map cannot be used."""


class InvalidTypeError(Error, TypeError):
    """An argument or an array has the wrong type."""


class StateError(Error, RuntimeError):
    """A call out of order."""


class OutOfMemoryError(Error, MemoryError):
    """Memory could not be had."""


class LibraryError(Error, ImportError):
    """The C library is missing or does not fit this package."""
