"""A source that keeps books: what was sent, what was answered, in what order."""
import random
import socket
import threading
import time


def message(ident, seq, extra=b""):
    """One message as bytes; `seq` rises per device. The values are such as do not survive a careless parser."""
    return (b'{"ident":"%s","timestamp":%d.%06d,"seq":%d,"position.latitude":54.687157%02d,"big":18446744073709551615,"one":1.0,'
            b'"list":[1,null,3.50],"text":"\\u017bu\\u0142\\/","none":null%s}'
            % (ident.encode(), 1732300000 + seq, seq % 1000000, seq, seq % 100, extra))


class Load:
    """`connections` keep-alive connections, each with one request in flight; a device keeps to one connection, so that its order is
    defined. A request that is not answered 200 is sent again until it is (at least once, as a gateway does)."""

    def __init__(self, port, devices, connections=8, batches=(1, 10, 100), path="/messages", prefix="35", patience=120, token=None, timeout=30):
        self.port, self.path, self.batches, self.patience, self.token, self.timeout = port, path, batches, patience, token, timeout
        self.idents = [f"{prefix}{i:010d}" for i in range(devices)]
        self.connections = connections
        self.seq = [0] * devices
        self.sent = {i: [] for i in self.idents}   # ident -> the messages acknowledged, in order
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.acked = self.answers = self.resends = self.resets = 0
        self.unsure = 0    # messages sent again because no answer came: the router may have them twice
        self.errors = []
        self.latencies = []

    def run(self, count, background=False, rate=None, seed=1):
        threads = []
        for c in range(self.connections):
            share = count // self.connections + (1 if c < count % self.connections else 0)
            t = threading.Thread(target=self._guard, args=(c, share, rate and rate / self.connections, random.Random(seed * 1000 + c)), daemon=True)
            t.start()
            threads.append(t)
        self.threads = threads
        if not background:
            self.join()

    def join(self):
        for t in self.threads:
            t.join()
        if self.errors:
            raise AssertionError(self.errors[0])

    def _guard(self, *args):
        try:
            self._work(*args)
        except Exception as e:  # told by join()
            self.errors.append(f"load: {type(e).__name__}: {e}")

    def _work(self, c, share, rate, rng):
        mine = list(range(c, len(self.idents), self.connections))
        conn, at, began = None, 0, time.monotonic()
        done = 0
        while done < share and not self.stop.is_set():
            n = min(rng.choice(self.batches), share - done)
            batch = []
            for _ in range(n):
                d = mine[at % len(mine)]
                at += 1
                batch.append((d, message(self.idents[d], self.seq[d])))
                self.seq[d] += 1
            body = b"[" + b",".join(m for _, m in batch) + b"]" if n > 1 else batch[0][1]
            taken, conn = self._deliver(conn, body, n)
            if not taken:
                return
            with self.lock:
                for d, m in batch:
                    self.sent[self.idents[d]].append(m)
                self.acked += n
            done += n
            if rate:
                ahead = done / rate - (time.monotonic() - began)
                if ahead > 0:
                    time.sleep(ahead)
        if conn:
            conn.close()

    def _deliver(self, conn, body, n):
        auth = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        head = f"POST {self.path} HTTP/1.1\r\nHost: x\r\n{auth}Content-Length: {len(body)}\r\n\r\n".encode()
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            if self.stop.is_set():
                return False, conn
            try:
                if conn is None:
                    conn = socket.create_connection(("127.0.0.1", self.port), timeout=self.timeout)
                    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                t = time.monotonic()
                conn.sendall(head + body)
                status, keep = self._answer(conn)
                self.latencies.append(time.monotonic() - t)
                self.answers += 1
                if status == 200:
                    return True, (conn if keep else self._closed(conn))
                if status not in (503, 429):
                    raise AssertionError(f"answered {status}")
                self.resends += 1
                time.sleep(0.05)
                if not keep:
                    conn = self._closed(conn)
            except OSError:
                with self.lock:
                    self.resets += 1
                    self.unsure += n
                conn = self._closed(conn)
                time.sleep(0.02)
        raise AssertionError("no answer within patience")

    @staticmethod
    def _closed(conn):
        if conn:
            conn.close()
        return None

    @staticmethod
    def _answer(conn):
        buf = b""
        while b"\r\n\r\n" not in buf:
            got = conn.recv(65536)
            if not got:
                raise ConnectionResetError
            buf += got
        head, _, rest = buf.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        need, keep = 0, True
        for line in lines[1:]:
            k, _, v = line.partition(":")
            if k.lower() == "content-length":
                need = int(v)
            if k.lower() == "connection" and v.strip().lower() == "close":
                keep = False
        while len(rest) < need:
            got = conn.recv(65536)
            if not got:
                raise ConnectionResetError
            rest += got
        return int(lines[0].split(" ")[1]), keep
