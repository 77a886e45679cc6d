"""Runs a program to its end and watches its memory."""
import dataclasses, os, pathlib, subprocess, tempfile, threading, time

EVERY = 0.05  # seconds between two looks at a process's memory


class Failed(Exception):
    """A program ended with an error."""


@dataclasses.dataclass
class Run:
    """What a program did. Memory is in bytes, the most at any moment: all that was resident; of it, anonymous, and mapped from files."""

    seconds: float
    stdout: str
    lines: list  # of stderr: (seconds since the start, line)
    peak: int
    anonymous: int = 0
    mapped: int = 0
    swapped: int = 0


def status(pid):
    """What the kernel says of a process's memory, in bytes by name; empty where there is no /proc, or the process is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return {}
    fields = (line.split() for line in text.splitlines() if line.startswith(("Vm", "Rss")))
    return {f[0].rstrip(":"): int(f[1]) * 1024 for f in fields}


def run(command, on_line=None, environment=None, kill_after=None):
    """Runs a command. on_line gets each line of stderr as it comes, with the process's id. After kill_after seconds the process is
    killed, and that is no failure."""
    start, lines = time.monotonic(), []
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen([str(word) for word in command], stdout=out, stderr=subprocess.PIPE, text=True, errors="replace",
                                   env=environment and os.environ | environment)
        reader = threading.Thread(target=listen, args=(process, start, lines, on_line))
        reader.start()
        try:
            code, peak, most, killed = follow(process, start, kill_after)
        except BaseException:  # the bench was stopped: nothing of it runs on
            process.kill()
            process.wait()
            raise
        seconds = time.monotonic() - start
        reader.join()
        process.stderr.close()
        out.seek(0)
        stdout = out.read().decode(errors="replace")
    if code and not killed:
        said = "".join(line for _, line in lines[-12:]) or stdout[-2000:]
        raise Failed(f"{' '.join(str(word) for word in command)} ended with {code}:\n{said.rstrip()}")
    return Run(seconds, stdout, lines, peak, most["RssAnon"], most["RssFile"], most["VmSwap"])


def follow(process, start, kill_after):
    """Looks at a process's memory until it ends: (exit code, peak, the most of each kind, whether it was killed)."""
    most, killed = {"RssAnon": 0, "RssFile": 0, "VmSwap": 0}, False
    while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
        now = status(process.pid)
        most = {name: max(n, now.get(name, 0)) for name, n in most.items()}
        if kill_after is not None and not killed and time.monotonic() - start > kill_after:
            process.kill()
            killed = True
        time.sleep(EVERY)
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    return process.returncode, ended[2].ru_maxrss * 1024, most, killed


def listen(process, start, lines, on_line):
    for line in process.stderr:
        lines.append((time.monotonic() - start, line))
        if on_line:
            on_line(line, process.pid)
