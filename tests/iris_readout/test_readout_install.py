"""The library as an observatory installs it, with no Python: moved tree, pkg-config, example."""

import shutil
import subprocess
from pathlib import Path

import pytest

from iris_readout import library

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "iris_readout"
EXAMPLE = SOURCE / "examples" / "ten_lines.c"
TOOLS = ("cmake", "cc", "pkg-config")


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


needs_tools = pytest.mark.skipif(
    not all(shutil.which(tool) for tool in TOOLS), reason=f"needs {', '.join(TOOLS)} on the path"
)


def build_and_install(folder, prefix, options, *install):
    run("cmake", "-S", SOURCE, "-B", folder, *options)
    run("cmake", "--build", folder)
    run("cmake", "--install", folder, "--prefix", prefix, *install)


@needs_tools
def test_example_builds_against_a_moved_installation(tmp_path):
    first, moved, libdir = tmp_path / "first", tmp_path / "moved", "lib/some-machine"
    options = ["-DBUILD_TESTING=OFF", "-DIRIS_WERROR=ON", f"-DCMAKE_INSTALL_LIBDIR={libdir}"]
    build_and_install(tmp_path / "build", first, options)
    first.rename(moved)
    environment = {"PKG_CONFIG_PATH": str(moved / libdir / "pkgconfig"), "PATH": "/usr/bin:/bin"}
    flags = run("pkg-config", "--cflags", "--libs", "iris_readout", env=environment).split()
    program = tmp_path / "ten_lines"
    run("cc", "-o", program, EXAMPLE, *flags, "-lm", f"-Wl,-rpath,{moved / libdir}")
    assert run(program).startswith("152.00 +- ")
    static = tmp_path / "ten_lines_static"
    archive = moved / libdir / "libiris_readout.a"
    run("cc", "-o", static, EXAMPLE, f"-I{moved / 'include'}", archive, "-pthread", "-lm")
    assert run(static).startswith("152.00 +- ")


@needs_tools
def test_a_wheel_gets_one_plain_library(tmp_path):
    """A COMPONENT that covers RUNTIME only makes a wheel without library, and nobody complains."""
    prefix = tmp_path / "wheel"
    build_and_install(tmp_path / "build", prefix, ["-DSKBUILD=ON"], "--component", "python")
    files = [path for path in prefix.rglob("*") if not path.is_dir()]
    assert files == [prefix / "iris_readout" / library.NAME]
    assert not files[0].is_symlink()


def test_readme_shows_the_example():
    text = (SOURCE / "README.md").read_text(encoding="utf-8")
    shown = text.split("```c\n")[1].split("```")[0]
    assert shown in EXAMPLE.read_text(encoding="ascii")


def test_only_the_public_names_are_exported():
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("needs nm")
    table = run(nm, "-D", "--defined-only", library.library()._name)
    names = {line.split()[-1] for line in table.splitlines() if " T " in line}
    assert names == set(library.PROTOTYPES)
