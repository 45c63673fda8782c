"""The judging destination, as a process of its own (sinkd.py)."""
import os
import subprocess
import sys


class Sink:
    def __init__(self, folder, port=0):
        self.spool = os.path.join(str(folder), "spool")
        os.makedirs(self.spool, exist_ok=True)
        daemon = os.path.join(os.path.dirname(__file__), "sinkd.py")
        self.process = subprocess.Popen([sys.executable, daemon, str(port), self.spool],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def tell(self, *words):
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def counts(self):
        """(bodies accepted, connections opened)"""
        a, b = self.tell("count").split()
        return int(a), int(b)

    def close(self):
        if self.process.poll() is None:
            try:
                self.process.stdin.close()
                self.process.wait(10)
            except (OSError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()
