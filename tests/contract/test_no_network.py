"""No socket is opened and the reference server's client is never asked, in any command.

Where the system lets a process leave the network, there is none at all besides.
"""

import subprocess
import sys

CUT = next(
    (
        words
        for words in (["unshare", "-n"], ["unshare", "-rn"])
        if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
    ),
    [],
)
ALONE = """
import socket
assert {name for _, name in socket.if_nameindex()} <= {"lo"}, "there is a network"
try:
    socket.create_connection(("192.0.2.1", 9), timeout=5)
except OSError:
    pass
else:
    raise SystemExit("a connection was made")
"""

GUARD = """
import socket, sys
def refuse(*args, **kwargs):
    raise SystemExit("a socket was opened")
socket.socket.connect = socket.socket.connect_ex = socket.create_connection = refuse
import crds, stpipe.crds_client as client
crds.getreferences = client.get_reference_file = client.get_multiple_reference_paths = refuse
client.get_context_used = refuse
from pathlib import Path
from liger_iris_pipeline.cli.main import main
from liger_iris_pipeline.simulator import CalibrationPlan, Format, ReadPattern, Scene, StarField, simulate
scene = Scene(format=Format(96, 96, 4, 4), stars=StarField(count=10), dithers=((0.0, 0.0), (0.1, -0.09)),
              calibration=CalibrationPlan(darks=2, flats=2), pattern=ReadPattern(nframe=4), detectors=("IMG1",))
out = Path(sys.argv[1])
night = simulate(scene, out / "night", seed=1)
status = main(["calibrate", str(night.folder), "--out", str(out / "refs")])
status = status or main(["reduce", str(night.folder), "--out", str(out / "products"), "--refs", str(out / "refs")])
raise SystemExit(status)
"""


def test_a_night_is_reduced_without_a_socket_or_a_server(tmp_path):
    code = (ALONE if CUT else "") + GUARD
    done = subprocess.run(
        [*CUT, sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(list((tmp_path / "products").glob("*_LVL3_*.fits"))) == 1
