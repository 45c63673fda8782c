"""The program under test, run as a user runs it."""
import json
import mmap
import os
import re
import signal
import socket
import subprocess
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
sluice = os.environ.get("SLUICE", os.path.join(ROOT, "sluice"))


def sanitized():
    """Is the program under test a build with a sanitizer? Only one that ends by itself tells what it leaked."""
    with open(sluice, "rb") as f:
        with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as text:
            return any(text.find(name) >= 0 for name in (b"__asan_init", b"__tsan_init"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Program:
    """`sluice run` on a specification in a folder of its own; data is in folder/data."""

    def __init__(self, folder, spec, start=True):
        self.folder = str(folder)
        self.file = os.path.join(self.folder, "sluice.yaml")
        self.data = os.path.join(self.folder, "data")
        self.log_path = os.path.join(self.folder, "log")
        self.process = None
        self.write(spec)
        if start:
            self.start()

    def write(self, spec):
        tmp = self.file + ".new"
        with open(tmp, "w") as f:
            f.write(spec)
        os.rename(tmp, self.file)

    def start(self, wait=30):
        before = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        self.log_file = open(self.log_path, "ab")
        began = time.monotonic()
        self.process = subprocess.Popen([sluice, "run", self.file], stderr=self.log_file, stdout=self.log_file,
                                        stdin=subprocess.DEVNULL, cwd=self.folder)
        while time.monotonic() - began < wait:
            if self.process.poll() is not None:
                raise AssertionError(f"sluice ended with {self.process.returncode}:\n{self.log()[-4000:]}")
            with open(self.log_path, "rb") as f:
                f.seek(before)
                if b"start ready" in f.read():
                    return time.monotonic() - began
            time.sleep(0.005)
        raise AssertionError(f"not ready after {wait} s:\n{self.log()[-4000:]}")

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def status(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(os.path.join(self.data, "control.sock"))
            s.sendall(b'{"command":"status"}\n')
            got = b""
            while chunk := s.recv(65536):
                got += chunk
        return json.loads(got)

    def stream(self, name):
        return next(s for s in self.status()["streams"] if s["name"] == name)

    def streams(self):
        return {s["name"]: s for s in self.status()["streams"]}

    def hup(self):
        self.process.send_signal(signal.SIGHUP)

    def reload(self, spec, wait=20):
        """Write, SIGHUP, and wait for the result: True if it is in force."""
        before = self.status()["reload"]["tried"]
        self.write(spec)
        self.hup()
        end = time.monotonic() + wait
        while time.monotonic() < end:
            r = self.status()["reload"]
            if r["tried"] > before:
                return r["ok"]
            time.sleep(0.01)
        raise AssertionError("the reload did not end:\n" + self.log()[-3000:])

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log_file.close()

    def stop(self, wait=20):
        """SIGTERM; the exit status."""
        if self.process is None or self.process.poll() is not None:
            return self.process.returncode if self.process else None
        self.process.terminate()
        status = self.process.wait(wait)
        self.log_file.close()
        return status

    def close(self):
        if self.process and self.process.poll() is None:
            if sanitized():
                status = self.stop(60)
                assert status == 0, f"sluice ended with {status}:\n{self.log()[-8000:]}"
                return
            self.process.kill()
            self.process.wait()

    def reports(self):
        """What a sanitizer had to say."""
        text = self.log() if os.path.exists(self.log_path) else ""
        found = re.search(r"[^\n]*(?:\w+Sanitizer|runtime error:)", text)
        return text[found.start():found.start() + 8000] if found else ""

    def memory(self):
        """Resident bytes now, and at the most."""
        with open(f"/proc/{self.process.pid}/status") as f:
            text = f.read()
        return tuple(int(re.search(k + r":\s+(\d+) kB", text).group(1)) * 1024 for k in ("VmRSS", "VmHWM"))

    def cpu(self):
        """CPU seconds so far, all threads."""
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def disk(self):
        total = 0
        for folder, _, names in os.walk(self.data):
            for name in names:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_blocks * 512
                except FileNotFoundError:
                    pass
        return total

    def drained(self, wait=120, streams=None):
        """Wait until nothing is buffered and everything settled is counted."""
        end = time.monotonic() + wait
        left = None
        while time.monotonic() < end:
            left = {n: s["buffered"] for n, s in self.streams().items() if (streams is None or n in streams)}
            if not any(left.values()):
                return
            time.sleep(0.05)
        raise AssertionError(f"not drained after {wait} s: {left}\n{self.log()[-3000:]}")


def balanced(counts):
    """SPEC's conservation law for one stream of `status`."""
    return counts["matched"] == sum(counts[k] for k in ("skipped", "buffered", "accepted", "dead", "expired", "dropped", "purged"))
