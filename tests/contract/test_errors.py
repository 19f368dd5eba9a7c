"""The tree of exceptions in errors.py is the one its docstring draws; messages about disks."""

import errno
import inspect

import pytest

from liger_iris_pipeline import errors


def drawn():
    """Class and parent of each line of the drawing."""
    stack, found = [], {}
    for line in errors.__doc__.splitlines():
        words = line.replace("│", " ").replace("├", " ").replace("└", " ").replace("─", " ").split()
        if not words or not words[0].endswith("Error") or len(words) < 3:
            continue
        depth = line.index(words[0])
        stack = [(d, name) for d, name in stack if d < depth]
        found[words[0]] = stack[-1][1] if stack else "Exception"
        stack.append((depth, words[0]))
    return found


def test_the_tree_is_the_one_that_is_drawn():
    classes = {
        name: value.__base__.__name__
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception)
    }
    assert drawn() == classes


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/a/b.fits"),
            "b.fits: disk: got 'No space",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "/a/b.fits"),
            "b.fits: disk: got 'Read-only",
        ),
        (OSError("16384 requested and 4800 written"), "disk: disk: got 'No space left on device'"),
        (FileNotFoundError(errno.ENOENT, "No such file", "b"), "b: file: got 'No such file'"),
    ],
    ids=["full", "read-only", "half-written", "gone"],
)
def test_errors_of_disks(error, expected):
    found = errors.disk_error(error)
    assert isinstance(found, errors.DiskError)
    assert found.exit_status == 1
    assert str(found).startswith(expected)
