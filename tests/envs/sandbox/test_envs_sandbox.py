"""The sandbox is attacked for real; where it is harmless to show, the same attack succeeds outside."""
# ruff: noqa: E501  (attacks are programs in one line)

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from turnsmith.envs.sandbox import Ending, Limits, Sandbox, SandboxPool, Tier, launch, same
from turnsmith.errors import InfraError, UserError

pytestmark = pytest.mark.skipif(
    launch.find_tier()[0] is Tier.PLAIN, reason=f"no sandbox on this machine: {launch.find_tier()[1]}"
)
QUICK = Limits(wall_seconds=4, call_seconds=1, cpu_seconds=1, memory_bytes=256 * 2**20)


@pytest.fixture(scope="module", params=["fresh", "server"])
def sandbox(request) -> Iterator[Sandbox]:
    with Sandbox(request.param, QUICK) as made:
        yield made


def outside(code: str) -> str:
    """The last line that the same code prints as an ordinary process."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else f"status {done.returncode}"


def inside(sandbox: Sandbox, code: str, expression: str = "found") -> object:
    """What an attack found out; an exception's text where it was refused."""
    result = sandbox.run(code, [expression])
    return result.value if result.ending is Ending.OK else result.detail


# what it is for


def test_values_come_back_with_their_types_and_each_expression_has_its_own_ending(sandbox):
    result = sandbox.run(
        "def f(x): return x", ["f((1, 2.5, True, None, 'é'))", "f({1: [2], (3,): {4}})", "f(1 / 0)", "f(2**200)"]
    )
    assert [reply.ending for reply in result.replies] == [Ending.OK, Ending.OK, Ending.RAISED, Ending.OK]
    assert same(result.replies[0].value, (1, 2.5, True, None, "é"))
    assert same(result.replies[1].value, {1: [2], (3,): {4}})
    assert result.replies[3].value == 2**200
    assert (result.ending, result.detail) == (Ending.RAISED, "ZeroDivisionError: division by zero")


def test_programs_call_functions_that_live_outside(sandbox):
    seen = []

    def order(order_id: str, *, full: bool = False) -> dict:
        seen.append((order_id, full))
        if order_id != "#W1":
            raise KeyError(order_id)
        return {"id": order_id, "items": [1, 2]}

    code = (
        "def look():\n    try:\n        order('#W9')\n    except RuntimeError as error:\n        problem = str(error)\n"
    )
    code += "    return tools.order('#W1', full=True)['items'], problem"
    result = sandbox.run(code, ["look()"], functions={"order": order})
    assert result.value == ([1, 2], "KeyError: '#W9'")
    assert seen == [("#W9", False), ("#W1", True)]
    assert result.calls == (("order", ["#W9"], {}), ("order", ["#W1"], {"full": True}))


def test_imports_helpers_recursion_and_printing_work(sandbox):
    code = "import math\ndef fact(n): return 1 if n < 2 else n * fact(n - 1)\nprint('working', math.pi)"
    result = sandbox.run(code, ["fact(50)", "random_free"], inputs={"random_free": [1, {"a": None}]})
    assert result.replies[0].value == 30414093201713378043612608166064768844377641568960512000000000000
    assert result.replies[1].value == [1, {"a": None}]
    assert result.printed == "working 3.141592653589793\n"


def test_the_same_program_gives_the_same_values_whatever_process_runs_it(sandbox):
    code = "found = [hash('a'), list({'x', 'y', 'z', 'q'})]"
    assert inside(sandbox, code) == inside(sandbox, code)


# attacks: time and memory


def test_an_endless_loop_ends(sandbox):
    for code in ("while True: pass", "import time\ntime.sleep(60)"):
        begin = time.monotonic()
        assert sandbox.run(code, ["1"]).ending is Ending.TIMEOUT
        assert time.monotonic() - begin < 5


def test_a_loop_that_swallows_its_alarm_ends_all_the_same(sandbox):
    code = "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nsignal.setitimer(signal.ITIMER_REAL, 0)\n"
    code += "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    result = sandbox.run(code, ["1"])
    assert result.ending in (Ending.TIMEOUT, Ending.KILLED)
    assert result.seconds < 6
    sleeper = "import signal, time\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: time.sleep(9)"
    assert sandbox.run(sleeper, ["1"]).ending is Ending.TIMEOUT


def test_one_endless_expression_leaves_the_others_their_values(sandbox):
    code = "def f(n):\n    while n == 2: pass\n    return n"
    patient = replace(QUICK, cpu_seconds=8, wall_seconds=16)  # on a busy machine a fresh process takes a while
    endings = [reply.ending for reply in sandbox.run(code, ["f(1)", "f(2)", "f(3)"], limits=patient).replies]
    assert endings == [Ending.OK, Ending.TIMEOUT, Ending.OK]


def test_a_memory_bomb_ends_typed(sandbox):
    slow = replace(QUICK, call_seconds=8, cpu_seconds=8, wall_seconds=16)
    for code in ("x = bytearray(2_000_000_000)", "x = []\nwhile True: x.append(bytearray(50_000_000))"):
        assert sandbox.run(code, ["1"], limits=slow).ending is Ending.MEMORY
    swallowed = "x = []\nwhile True:\n    try:\n        x.append(bytearray(50_000_000))\n    except MemoryError: break"
    assert sandbox.run(swallowed, ["len(x) < 6"], limits=slow).value is True


def test_memory_cannot_be_hidden_from_the_limit(sandbox):
    shared = "import ctypes\nctypes.CDLL(None, use_errno=True).shmget(0, 10**9, 0o1600)"
    assert outside("import ctypes\nlibc = ctypes.CDLL(None)\nn = libc.shmget(0, 4096, 0o1600)\nprint(n >= 0)\nlibc.shmctl(n, 0, None)") == "True"  # fmt: skip
    assert inside(sandbox, f"{shared.replace('ctypes.CDLL', 'found = ctypes.CDLL', 1)}") == -1
    assert "Operation not permitted" in str(inside(sandbox, "import os\nfound = os.memfd_create('x')"))


def test_fork_bombs_do_not_get_off_the_ground(sandbox):
    before = len(psutil.pids())
    bomb = "import os\nwhile True:\n    os.fork()"
    assert sandbox.run(bomb, ["1"]).ending is Ending.RAISED
    stubborn = (
        "import os\nfound = 0\nfor _ in range(400):\n    try:\n        if os.fork() == 0:\n            os._exit(0)\n"
    )
    stubborn += "        found += 1\n    except OSError:\n        pass"
    assert outside(stubborn.replace("range(400)", "range(3)") + "\nprint(found)") == "3"
    assert inside(sandbox, stubborn) == 0
    for code in ("import threading\nthreading.Thread(target=print).start()", "import os\nos.system('sleep 60 &')"):
        result = sandbox.run(code + "\nfound = 'started'", ["found"])
        assert result.ending is Ending.RAISED or result.value == "started"
    assert len(psutil.pids()) < before + 20


# attacks: the network and files


def test_a_port_that_is_open_outside_cannot_be_reached(sandbox):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)\nfound = 'reached'"
        assert outside(code + "\nprint(found)") == "reached"
        assert "Operation not permitted" in str(inside(sandbox, code))


def test_the_network_is_gone_even_for_who_had_sockets():
    """Namespaces alone, without the filter of system calls: nothing answers on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket\nsocket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)\nprint('reached')"
        done = launch.in_namespaces(code)
    assert "reached" not in done.stdout
    assert "refused" in done.stderr or "unreachable" in done.stderr


def test_files_outside_cannot_be_read(sandbox, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("the answer")
    for folder in [tmp_path, *tmp_path.parents]:  # not a matter of permissions: it is not there
        if folder.stat().st_uid == os.geteuid() and str(folder) not in ("/", "/tmp"):
            folder.chmod(0o755)
    for path in (secret, Path("/etc/passwd"), Path("/proc/self/environ"), Path("/proc/1/cmdline")):
        code = f"found = open({str(path)!r}).read()"
        assert "Error" not in outside(code + "\nprint('Error' if not found else 'read')")
        assert "No such file" in str(inside(sandbox, code)), path
    assert "the answer" not in str(inside(sandbox, f"import os\nfound = os.listdir({str(tmp_path.parent)!r})"))


def test_symlinks_lead_nowhere(sandbox, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("the answer")
    code = f"import os\nos.symlink({str(secret)!r}, '/tmp/link')\nfound = open('/tmp/link').read()"
    here = tmp_path / "link"
    assert outside(code.replace("/tmp/link", str(here)) + "\nprint(found)") == "the answer"
    assert "the answer" not in str(inside(sandbox, code))


def test_nothing_can_be_written_where_another_program_would_see_it(sandbox):
    for path in ("/usr/lib/x", "/x", "/dev/x", "/usr/bin/python3"):
        assert "rror" in str(inside(sandbox, f"open({path!r}, 'w').write('x')\nfound = 'wrote'")), path
    sandbox.run("open('/tmp/note', 'w').write('from before')")
    assert "No such file" in str(inside(sandbox, "found = open('/tmp/note').read()"))


def test_large_files_are_refused():
    with Sandbox("fresh", QUICK) as sandbox:
        wrote = inside(sandbox, "found = open('/tmp/a', 'w').write('x' * 1000)")
        assert wrote == 1000
        result = sandbox.run("open('/tmp/b', 'wb', buffering=0).write(bytes(50_000_000))", ["1"])
        assert result.ending in (Ending.RAISED, Ending.KILLED, Ending.OK)  # Python ignores SIGXFSZ: a short write
        size = inside(sandbox, "f = open('/tmp/b', 'wb', 0)\nf.write(bytes(50_000_000))\nimport os\nfound = os.stat('/tmp/b').st_size")  # fmt: skip
        assert isinstance(size, str) or (isinstance(size, int) and size <= QUICK.file_bytes)


def test_the_environment_of_the_trainer_does_not_come_along(sandbox, monkeypatch):
    monkeypatch.setenv("API_KEY", "secret")
    assert "secret" not in str(inside(sandbox, "import os\nfound = dict(os.environ)"))
    assert inside(sandbox, "import os\nfound = os.getuid()") not in (0, os.geteuid() or None)


# attacks: what comes out


def test_huge_output_is_cut_off(sandbox):
    flood = "import sys\nwhile True: print('x' * 1000)"
    assert sandbox.run(flood, ["1"]).ending is Ending.OUTPUT
    assert sandbox.run("x = 'y' * 10_000_000", ["x"]).ending is Ending.OUTPUT
    raw = "import os\nfor fd in range(3, 9):\n    try:\n        while True: os.write(fd, b'x' * 65536)\n    except OSError: pass"
    assert sandbox.run(raw, ["1"]).ending in (Ending.OUTPUT, Ending.PROTOCOL)
    deep = "x = []\nfor _ in range(50_000): x = [x]"
    assert sandbox.run(deep, ["x"]).ending is Ending.NOT_PLAIN


def test_leaving_without_an_answer_is_no_answer(sandbox):
    assert sandbox.run("import os\nos._exit(0)", ["True"]).ending is Ending.EXITED
    assert sandbox.run("import sys\nsys.exit(0)", ["True"]).ending is Ending.EXITED
    assert sandbox.run("import os\nos.abort()", ["True"]).ending is Ending.KILLED
    assert sandbox.run("import ctypes\nctypes.string_at(0)", ["True"]).ending is Ending.KILLED


def test_an_object_that_equals_everything_is_not_plain(sandbox):
    code = "class Yes(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\n"
    code += "class Any(dict):\n    def __eq__(self, other): return True"
    for expression in ("Yes(3)", "[1, Yes(3)]", "Any()", "{'a': Any()}", "object()", "print"):
        result = sandbox.run(code, [expression])
        assert result.ending is Ending.NOT_PLAIN, expression
        assert result.value is None


def test_patched_builtins_do_not_reach_the_comparison(sandbox):
    code = "import builtins\nbuiltins.type = lambda x: int\nbuiltins.isinstance = lambda *a: True\n"
    code += "import sys\nrunner = sys.modules['__main__']\nrunner.encode = lambda value, depth=0: ['v', True]\n"
    result = sandbox.run(code, ["3"])
    # it may lie about its own value, as it might have returned another one; it cannot make that equal to ours
    assert not same(result.value, 3) or result.value == 3


def test_forged_lines_are_not_answers(sandbox):
    for line in (b"{", b"[]", b'{"value": ["x", 1]}', b'{"call": "gone", "args": [], "kwargs": {}}', b"[" * 60_000):
        code = f"import os, sys\nframe = sys._getframe()\nwhile frame and 'channel' not in frame.f_locals: frame = frame.f_back\nos.write(frame.f_locals['channel'].target, {line[:50_000]!r} + b'\\n')"
        assert sandbox.run(code, ["1"]).ending is Ending.PROTOCOL, line[:30]
    too_many = code.replace(repr(line[:50_000]), repr(b"\n".join([b'{"value": ["v", true]}'] * 3)))
    assert sandbox.run(too_many, ["1"]).ending is Ending.PROTOCOL


def test_functions_can_be_called_only_so_often(sandbox):
    code = "while True: tick()"
    assert sandbox.run(code, ["1"], functions={"tick": lambda: None}).ending is Ending.OUTPUT


# attacks: other processes


def test_signals_to_others_are_refused(sandbox):
    for target in ("os.getppid()", "1", "-1", f"{os.getpid()}"):
        code = f"import os, signal\nos.kill({target}, signal.SIGTERM)\nfound = 'sent'"
        assert inside(sandbox, code) != "sent", target
    group = "import os, signal\nos.killpg(0, signal.SIGKILL)\nfound = 'sent'"
    assert inside(sandbox, group) != "sent"
    assert sandbox.run("x = 1", ["x"]).value == 1
    assert sandbox.restarts == 0


def test_the_zygote_cannot_be_touched():
    with Sandbox("server", QUICK) as sandbox:
        attacks = [
            "import resource\nresource.prlimit(os.getppid(), resource.RLIMIT_NPROC, (0, 0))",
            "open(f'/proc/{os.getppid()}/mem', 'r+b')",
            "ctypes.CDLL(None, use_errno=True).ptrace(16, os.getppid(), 0, 0) and (_ for _ in ()).throw(OSError(1, ''))",
            "os.pidfd_open(os.getppid())",
            "import socket\nfor fd in range(3, 64):\n    try:\n        socket.socket(fileno=fd)\n        found = 'a socket'\n    except OSError: pass\nif found != 'a socket': raise OSError",
        ]
        for attack in attacks:
            code = f"import ctypes, os\nfound = None\ntry:\n    exec({attack!r})\n    found = found or 'done'\nexcept OSError:\n    found = 'refused'"
            assert inside(sandbox, code) == "refused", attack
        assert sandbox.run("x = 1", ["x"]).value == 1
        assert sandbox.restarts == 0


def test_what_one_program_changes_the_next_does_not_see():
    with Sandbox("server", QUICK) as sandbox:
        sandbox.run("import math, builtins\nmath.pi = 3\nbuiltins.len = lambda x: 7", ["1"])
        assert inside(sandbox, "import math\nfound = [math.pi > 3, len([])]") == [True, 0]


def test_a_killed_server_is_replaced_and_the_program_is_not_lost():
    with Sandbox("server", QUICK) as sandbox:
        assert sandbox.run("x = 1", ["x"]).value == 1
        assert sandbox._zygote is not None
        sandbox._zygote._process.kill()
        sandbox._zygote._process.wait()
        assert sandbox.run("x = 2", ["x"]).value == 2
        assert sandbox.restarts == 1


def test_nothing_is_left_running():
    me = psutil.Process()
    before = {child.pid for child in me.children(recursive=True)}
    with SandboxPool(2, "server", QUICK) as pool:
        for code in ("while True: pass", "import os\nos.setsid()\nwhile True: pass", "x = 1"):
            pool.run(code, ["1"])
    with Sandbox("fresh", QUICK) as fresh:
        fresh.run("while True: pass")
    deadline = time.monotonic() + 3
    while (left := {child.pid for child in me.children(recursive=True)} - before) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


def test_a_pool_serves_many_threads_and_mixes_nothing_up():
    found: dict[int, object] = {}
    with SandboxPool(2, "server", QUICK) as pool:

        def work(number: int) -> None:
            found[number] = pool.run("def f(n): return n * n", [f"f({number})"]).value

        threads = [threading.Thread(target=work, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {number: number * number for number in range(24)}


# where there are no namespaces


def test_untrusted_code_is_refused_without_namespaces(monkeypatch):
    monkeypatch.setattr("turnsmith.envs.sandbox.launch.find_tier", lambda: (Tier.PLAIN, "no bubblewrap"))
    with pytest.raises(UserError, match=r"no bubblewrap.*--allow-unsafe"):
        Sandbox("fresh")
    for mode in ("fresh", "server"):
        with Sandbox(mode, QUICK, allow_unsafe=True) as sandbox:
            result = sandbox.run("x = 40", ["x + 2"])
            assert (result.value, result.tier) == (42, Tier.PLAIN)
            assert sandbox.run("while True: pass", ["1"]).ending is Ending.TIMEOUT
            assert sandbox.run("x = bytearray(10**9)", ["1"]).ending is Ending.MEMORY


def test_a_function_outside_that_loses_its_machinery_is_not_the_programs_fault(sandbox):
    def broken() -> None:
        raise InfraError("server_down", "no tools")

    with pytest.raises(InfraError, match="no tools"):
        sandbox.run("broken()", ["1"], functions={"broken": broken})
    assert sandbox.run("x = 1", ["x"]).value == 1


def test_inputs_that_are_not_json_are_the_callers_mistake(sandbox):
    with pytest.raises(TypeError):
        sandbox.run("x = 1", inputs={"bad": object()})  # pyright: ignore[reportArgumentType]
    assert json.dumps(sandbox.run("x = y", ["x"], inputs={"y": "z" * 200_000}, limits=Limits(output_bytes=10**6)).value)
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
