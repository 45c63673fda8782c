"""A proxy between a client and a server that misbehaves as bad networks and dying programs do: Chaos(to).

`faults` names what happens to a connection, one of them by chance, once it has carried some bytes; `left` says how many connections more it
happens to, and after that everything goes through.

    fin, rst  cut on both sides after any byte, in good order or not: half a line, half a request, half an answer
    lost      what the client sends goes on, the answers do not; then both sides are cut
    late      answers come `late` seconds behind, longer than the client waits
    mute      nothing more is read of the client, and nothing is said to it, for `late` seconds; then both sides are cut
    slow      a few bytes at a time for a while, then as usual"""
import random
import socket
import struct
import threading
import time

HARD = struct.pack("ii", 1, 0)


def close(s, hard):
    try:
        if hard and s.family != socket.AF_UNIX:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HARD)
        else:
            s.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    s.close()


class Chaos:
    def __init__(self, to, faults=(), left=0, at=None, late=1.5, most=40000, seed=1):
        """to: (host, port), or the path of a Unix socket; at: a path to listen on, else a port of loopback. A fault comes within `most` bytes."""
        self.to, self.faults, self.left, self.late, self.most = to, faults, left, late, most
        self.rng, self.lock = random.Random(seed), threading.Lock()
        self.gone = False
        self.done = {}                      # fault -> connections it happened to
        self.open = set()
        self.listener = socket.socket(socket.AF_UNIX if at else socket.AF_INET)
        self.listener.bind(str(at) if at else ("127.0.0.1", 0))
        self.listener.listen(128)
        self.at = str(at) if at else self.listener.getsockname()
        self.port = None if at else self.at[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, hard=True):
        """All connections, now."""
        with self.lock:
            pairs = list(self.open)
        for pair in pairs:
            for s in pair:
                close(s, hard)

    def away(self, seconds):
        """Nobody is there for so long."""
        self.gone = True
        self.cut()
        time.sleep(seconds)
        self.gone = False

    def close(self):
        self.listener.close()
        self.cut()

    def happened(self, *faults):
        return sum(n for f, n in self.done.items() if not faults or f in faults)

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.gone:
                close(client, True)
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            server = socket.socket(socket.AF_UNIX if isinstance(self.to, str) else socket.AF_INET)
            server.connect(self.to)
        except OSError:
            close(client, True)
            return
        for s in (client, server):
            if s.family == socket.AF_INET:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.lock:
            fault = self.rng.choice(self.faults) if self.faults and self.left > 0 else None
            self.left -= bool(fault)
            up = self.rng.randrange(self.most) if fault else None
            # Answers are few: what is to break in one must break early.
            down = self.rng.randrange(200) if fault in ("fin", "rst") and self.rng.random() < 0.5 else None
            self.open.add((client, server))
        state = {"fault": None, "will": fault}
        a = threading.Thread(target=self._pump, args=(client, server, state, up if down is None else None, True), daemon=True)
        b = threading.Thread(target=self._pump, args=(server, client, state, down, False), daemon=True)
        a.start()
        b.start()
        a.join()
        b.join()
        close(client, False)
        close(server, False)
        with self.lock:
            self.open.discard((client, server))

    def _begin(self, state, fault):
        with self.lock:
            state["fault"] = fault
            self.done[fault] = self.done.get(fault, 0) + 1

    def _pump(self, source, target, state, budget, up):
        """`budget`: bytes until the fault; None: it comes from the other side, or not at all."""
        try:
            while data := source.recv(65536):
                if budget is not None and len(data) >= budget:
                    fault, rest, budget = state["will"], data[budget:], None
                    target.sendall(data[:len(data) - len(rest)])
                    self._begin(state, fault)
                    if fault in ("fin", "rst"):
                        close(target, fault == "rst")
                        close(source, fault == "rst")
                        return
                    if fault == "mute":
                        time.sleep(self.late)
                        close(target, True)
                        close(source, True)
                        return
                    if fault == "lost":
                        target.sendall(rest)
                        time.sleep(0.2)
                        close(target, True)
                        close(source, True)
                        return
                    if fault == "slow":
                        for i in range(0, min(len(rest), 700), 7):
                            target.sendall(rest[i:i + 7])
                            time.sleep(0.002)
                        rest = rest[700:]
                    data = rest
                elif budget is not None:
                    budget -= len(data)
                if not up and state["fault"] in ("lost", "mute"):
                    continue
                if not up and state["fault"] == "late":
                    time.sleep(self.late)
                    state["fault"] = "was late"
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            close(target, True)
            close(source, True)
