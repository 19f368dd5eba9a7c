"""The Python face knows the same structures, prototypes, numbers and flags as the public header."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import iris_readout
from iris_readout import library
from liger_iris_pipeline.dq import Flag

HEADER = Path(__file__).resolve().parents[2] / "iris_readout" / "include" / "iris_readout.h"
TEXT = re.sub(r"/\*.*?\*/", " ", HEADER.read_text(encoding="ascii"), flags=re.DOTALL)
STRUCTURES = {
    "iris_map": library.Map,
    "iris_linearity": library.Linearity,
    "iris_options": library.Options,
    "iris_planes": library.Planes,
    "iris_event": library.Event,
    "iris_stack_options": library.StackOptions,
    "iris_stack_frame": library.StackFrame,
    "iris_stack_planes": library.StackPlanes,
}
SCALARS = {
    "size_t": ctypes.c_size_t,
    "double": ctypes.c_double,
    "char": ctypes.c_char,
    "void": None,
}


def constant(name):
    return re.search(rf"#define {name} (.*)", TEXT).group(1).strip()


def prototypes():
    """Name -> (type of the result, types of the arguments) as text."""
    found = {}
    for match in re.finditer(r"IRIS_API ([^;]*?)(\w+)\(([^;]*)\);", TEXT):
        result, name, arguments = (" ".join(part.split()) for part in match.groups())
        found[name] = (result, [] if arguments == "void" else arguments.split(","))
    return found


def is_pointer(ctype):
    return ctype in (ctypes.c_void_p, ctypes.c_char_p) or hasattr(ctype, "contents")


def assert_fits(text, ctype):
    """A pointer for a pointer or array; else the same scalar, enums as int."""
    if "*" in text or "[" in text:
        assert is_pointer(ctype), text
    else:
        word = next(w for w in text.split() if w != "const")
        assert ctype is SCALARS.get(word, ctypes.c_int), text


def test_version_and_abi():
    assert iris_readout.__version__ == constant("IRIS_READOUT_VERSION").strip('"')
    assert int(constant("IRIS_READOUT_ABI")) == library.ABI


def test_prototypes():
    found = prototypes()
    assert set(found) == set(library.PROTOTYPES)
    for name, (result, arguments) in found.items():
        assert_fits(result, library.PROTOTYPES[name][0])
        assert len(arguments) == len(library.PROTOTYPES[name][1]), name
        for text, ctype in zip(arguments, library.PROTOTYPES[name][1], strict=True):
            assert_fits(text, ctype)


def test_flags():
    bits = {name: int(bit) for name, bit in re.findall(r"IRIS_DQ_(\w+) = (\d+)", TEXT)}
    assert {name: 1 << bit for name, bit in bits.items()} == {f.name: f.value for f in Flag}
    assert library.DO_NOT_USE == Flag.DO_NOT_USE


def test_enumerators_count_as_the_face_does():
    modes = re.findall(r"IRIS_MODE_(\w+) = (\d)", TEXT)
    assert {name.lower(): int(value) for name, value in modes} == library.MODES
    kinds = re.findall(r"IRIS_EVENT_(\w+) = (\d)", TEXT)
    assert [name for name, _ in sorted(kinds, key=lambda k: k[1])] == list(library.EVENT_KINDS)
    statuses = re.findall(r"(IRIS_OK|IRIS_ERROR_\w+)", TEXT.split("iris_status")[1])
    assert statuses.index("IRIS_OK") == library.OK
    assert statuses.index("IRIS_ERROR_MEMORY") == library.ERROR_MEMORY
    assert statuses.index("IRIS_ERROR_STATE") == library.ERROR_STATE


def test_structures(tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler on this machine")
    lines = [
        f'printf("{name} {field} %zu %zu\\n", offsetof({name}, {field}), sizeof(value_{name}.{field}));'
        for name, structure in STRUCTURES.items()
        for field, _ in structure._fields_
    ]
    sizes = [f'printf("{name} - %zu 0\\n", sizeof({name}));' for name in STRUCTURES]
    values = [f"static {name} value_{name};" for name in STRUCTURES]
    source = tmp_path / "layout.c"
    source.write_text(
        "\n".join(
            [
                "#include <stddef.h>",
                "#include <stdio.h>",
                "#include <iris_readout.h>",
                *values,
                "int main(void) {",
                *lines,
                *sizes,
                "return 0; }",
            ]
        )
    )
    program = tmp_path / "layout"
    subprocess.run([compiler, f"-I{HEADER.parent}", str(source), "-o", str(program)], check=True)
    output = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    for line in output.splitlines():
        name, field, offset, size = line.split()
        if field == "-":
            assert ctypes.sizeof(STRUCTURES[name]) == int(offset), name
        else:
            member = getattr(STRUCTURES[name], field)
            assert (member.offset, member.size) == (int(offset), int(size)), line


def test_a_library_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "libnothing.so"))
    library.library.cache_clear()
    with pytest.raises(ImportError, match=r"got no file .*libnothing\.so"):
        library.version()
    (tmp_path / "libnothing.so").write_bytes(b"not a library")
    with pytest.raises(iris_readout.LibraryError, match="expected libiris_readout"):
        library.version()
    monkeypatch.undo()
    library.library.cache_clear()
    assert library.version() == iris_readout.__version__
