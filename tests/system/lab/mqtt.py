"""Far ends for MQTT: a broker that can be told to misbehave and keeps books, the real mosquitto, and a cutter for the line between.

Nothing here is shared with the program under test: the packets are written and read in Python, from the specifications."""
import collections
import os
import queue
import random
import shutil
import socket
import struct
import subprocess
import threading
import time

from .program import free_port

MOSQUITTO = shutil.which("mosquitto") or (os.path.exists("/usr/sbin/mosquitto") and "/usr/sbin/mosquitto") or None

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14

Publish = collections.namedtuple("Publish", "connection client topic payload qos retain dup id properties")


def varint(n):
    out = bytearray()
    while True:
        n, low = divmod(n, 128)
        out.append(low | (0x80 if n else 0))
        if not n:
            return bytes(out)


def text(s):
    raw = s.encode() if isinstance(s, str) else s
    return struct.pack(">H", len(raw)) + raw


def packet(kind, body, flags=0):
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


SIZES = {1: 1, 2: 4, 17: 4, 19: 2, 23: 1, 25: 1, 33: 2, 34: 2, 35: 2, 36: 1, 37: 1, 39: 4, 40: 1, 41: 1, 42: 1}


def properties(raw):
    """As a dict; user properties as a list under 38."""
    out, at = {}, 0
    while at < len(raw):
        key = raw[at]
        at += 1
        if key in SIZES:
            out[key] = int.from_bytes(raw[at:at + SIZES[key]], "big")
            at += SIZES[key]
        elif key == 11:
            while raw[at] & 0x80:
                at += 1
            at += 1
        else:
            texts = []
            for _ in range(2 if key == 38 else 1):
                n = int.from_bytes(raw[at:at + 2], "big")
                texts.append(raw[at + 2:at + 2 + n].decode())
                at += 2 + n
            if key == 38:
                out.setdefault(38, []).append(tuple(texts))
            else:
                out[key] = texts[0]
    return out


def take_varint(raw, at):
    n = shift = 0
    while True:
        b = raw[at]
        at += 1
        n |= (b & 0x7F) << shift
        shift += 7
        if not b & 0x80:
            return n, at


class Session:
    def __init__(self):
        self.filters, self.waiting, self.out, self.next_id, self.connection = {}, collections.deque(), collections.OrderedDict(), 0, None


class Connection:
    def __init__(self, broker, number, sock):
        self.broker, self.number, self.sock = broker, number, sock
        self.version, self.client, self.session, self.window = 4, None, None, 20
        self.lock = threading.Lock()

    def send(self, raw):
        try:
            with self.lock:
                self.sock.sendall(raw)
        except OSError:
            pass

    def ack(self, id, reason=0, words=None):
        body = struct.pack(">H", id)
        if self.version == 5 and (reason or words):
            props = b"\x1f" + text(words) if words else b""
            body += bytes([reason]) + (varint(len(props)) + props if words else b"")
        self.send(packet(PUBACK, body))

    def goodbye(self, reason):
        self.send(packet(DISCONNECT, bytes([reason])))
        self.close()

    def close(self, reset=False):
        try:
            if reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.sock.close()
            else:
                self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def read(self, n):
        out = b""
        while len(out) < n:
            chunk = self.file.read(n - len(out))
            if not chunk:
                raise EOFError
            out += chunk
        return out

    def run(self):
        self.file = self.sock.makefile("rb", 1 << 16)
        try:
            while True:
                first = self.read(1)[0]
                n = shift = 0
                while True:
                    b = self.read(1)[0]
                    n |= (b & 0x7F) << shift
                    shift += 7
                    if not b & 0x80:
                        break
                self.take(first >> 4, first & 15, self.read(n))
        except (EOFError, OSError, ValueError):
            pass
        finally:
            self.broker.gone(self)
            try:
                self.file.close()
                self.sock.close()
            except OSError:
                pass

    def take(self, kind, flags, body):
        broker = self.broker
        if kind == CONNECT:
            broker.take_connect(self, body)
        elif kind == PUBLISH:
            n = int.from_bytes(body[:2], "big")
            topic, at = body[2:2 + n].decode(), 2 + n
            qos, id, props = flags >> 1 & 3, 0, {}
            if qos:
                id = int.from_bytes(body[at:at + 2], "big")
                at += 2
            if self.version == 5:
                size, at = take_varint(body, at)
                props = properties(body[at:at + size])
                at += size
            broker.take_publish(self, Publish(self.number, self.client, topic, body[at:], qos, flags & 1, flags >> 3, id, props))
        elif kind == PUBACK:
            broker.take_puback(self, int.from_bytes(body[:2], "big"), body[2] if len(body) > 2 else 0)
        elif kind == SUBSCRIBE:
            broker.take_subscribe(self, body)
        elif kind == UNSUBSCRIBE:
            self.send(packet(UNSUBACK, body[:2]))
        elif kind == PINGREQ:
            broker.pings += 1
            if broker.answer_pings:
                self.send(packet(PINGRESP, b""))
        elif kind == DISCONNECT:
            broker.goodbyes.append(body[0] if body else 0)
            raise EOFError


class Broker:
    """A broker whose answers are chosen by the test.

    answer(publish) -> 0 or a reason code: PUBACK; None: none, ever; "later": it is put into self.held, for the test to acknowledge;
    "close", "reset": hang up; a float: acknowledge after so many seconds; ("goodbye", reason): DISCONNECT and hang up.
    suback(filter, qos) -> the code for that filter."""

    def __init__(self, port=None, answer=lambda p: 0, connack=lambda c: (0, b""), max_inflight=20, suback=lambda f, qos: qos):
        self.port = port or free_port()
        self.answer, self.connack, self.max_inflight, self.suback = answer, connack, max_inflight, suback
        self.goodbyes = []
        self.received, self.connects, self.held, self.subscriptions, self.acked = [], [], [], [], []
        self.sessions, self.pings, self.answer_pings, self.faults = {}, 0, True, []
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.connections = {}
        self.number = 0
        self.in_flight_most = 0
        self.listening = None
        self.open()

    def open(self):
        self.listening = socket.socket()
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listening.bind(("127.0.0.1", self.port))
        self.listening.listen(64)
        threading.Thread(target=self._accept, args=(self.listening,), daemon=True).start()

    def _accept(self, listening):
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.number += 1
                c = Connection(self, self.number, sock)
                self.connections[self.number] = c
            threading.Thread(target=c.run, daemon=True).start()

    def close(self):
        """Nobody is there any more; books and sessions stay."""
        try:
            self.listening.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listening.close()
        self.cut()

    def cut(self, reset=False):
        with self.lock:
            for c in list(self.connections.values()):
                c.close(reset)

    def gone(self, c):
        with self.lock:
            self.connections.pop(c.number, None)
            if c.session and c.session.connection is c:
                c.session.connection = None
            self.changed.notify_all()

    def until(self, condition, wait=30):
        end = time.monotonic() + wait
        with self.lock:
            while not condition():
                self.changed.wait(0.05)
                assert time.monotonic() < end, (f"waited {wait} s in vain; {len(self.received)} received, {len(self.acked)} acknowledged, "
                                                f"{len(self.connects)} connects, faults {self.faults}")

    # ---- a client's packets

    def take_connect(self, c, body):
        at = 6
        c.version, flags = body[at], body[at + 1]
        keep_alive = int.from_bytes(body[at + 2:at + 4], "big")
        at += 4
        props = {}
        if c.version == 5:
            size, at = take_varint(body, at)
            props = properties(body[at:at + size])
            at += size
        texts = []
        while at < len(body):
            n = int.from_bytes(body[at:at + 2], "big")
            texts.append(body[at + 2:at + 2 + n])
            at += 2 + n
        c.client = texts.pop(0).decode()
        info = {"client": c.client, "version": c.version, "clean": bool(flags & 2), "keep_alive": keep_alive, "properties": props,
                "username": texts.pop(0).decode() if flags & 0x80 else None, "password": texts.pop(0).decode() if flags & 0x40 else None,
                "connection": c.number, "time": time.monotonic()}
        with self.lock:
            self.connects.append(info)
            reason, connack_props = self.connack(info)
            old = self.sessions.get(c.client)
            if info["clean"] or old is None:
                self.sessions[c.client] = Session()
            present = old is not None and not info["clean"]
            c.session = self.sessions[c.client]
            if old is not None and old.connection is not None:
                old.connection.close()
            c.window = props.get(33, 65535) if c.version == 5 else self.max_inflight
            if not reason:
                c.session.connection = c
            head = bytes([1 if present and not reason else 0, reason])
            c.send(packet(CONNACK, head + (varint(len(connack_props)) + connack_props if c.version == 5 else b"")))
            if reason:
                c.close()
                return
            for id, (topic, payload, retain) in c.session.out.items():
                self._write(c, topic, payload, id, 8 | (1 if retain else 0))
            self._pump(c)
            self.changed.notify_all()

    def take_publish(self, c, p):
        with self.lock:
            self.received.append(p)
            mine = sum(1 for h in self.held if h[0] is c)
            what = self.answer(p)
            if what == "later":
                self.held.append((c, p))
                self.in_flight_most = max(self.in_flight_most, mine + 1)
            self.changed.notify_all()
        if what in ("close", "reset"):
            c.close(what == "reset")
            raise EOFError
        if isinstance(what, tuple):
            c.goodbye(what[1])
            raise EOFError
        if isinstance(what, float):
            threading.Timer(what, c.ack, (p.id,)).start()
        elif isinstance(what, int) and p.qos:
            c.ack(p.id, what)

    def release(self, order=None):
        """Acknowledge what is held, in this order (a function of the list)."""
        with self.lock:
            held, self.held = self.held, []
        if order:
            order(held)
        for c, p in held:
            c.ack(p.id)

    def take_subscribe(self, c, body):
        at, codes, filters = 2, b"", []
        if c.version == 5:
            size, at = take_varint(body, at)
            at += size
        while at < len(body):
            n = int.from_bytes(body[at:at + 2], "big")
            filters.append((body[at + 2:at + 2 + n].decode(), body[at + 2 + n]))
            codes += bytes([self.suback(filters[-1][0], filters[-1][1] & 3)])
            at += 3 + n
        with self.lock:
            for f, options in filters:
                c.session.filters[f] = options
            self.subscriptions.append((c.number, filters))
            c.send(packet(SUBACK, body[:2] + (b"\0" if c.version == 5 else b"") + codes))
            self._pump(c)
            self.changed.notify_all()

    def take_puback(self, c, id, reason):
        with self.lock:
            if id not in c.session.out:
                self.faults.append(f"PUBACK of {id}, which is not in flight")
                return
            if next(iter(c.session.out)) != id:
                self.faults.append(f"PUBACK of {id} out of order")
            topic, payload, _ = c.session.out.pop(id)
            self.acked.append((payload, reason))
            self._pump(c)
            self.changed.notify_all()

    # ---- to a client

    def _write(self, c, topic, payload, id, flags):
        c.send(packet(PUBLISH, text(topic) + struct.pack(">H", id) + (b"\0" if c.version == 5 else b"") + payload, flags | 2))

    def _pump(self, c):
        s = c.session
        while s.filters and s.waiting and len(s.out) < c.window:
            topic, payload, retain = s.waiting.popleft()
            while True:
                s.next_id = s.next_id % 65535 + 1
                if s.next_id not in s.out:
                    break
            s.out[s.next_id] = (topic, payload, retain)
            self._write(c, topic, payload, s.next_id, 1 if retain else 0)

    def publish(self, client, topic, payload, retain=False):
        """A message for that client's session, connected or not."""
        with self.lock:
            s = self.sessions.setdefault(client, Session())
            s.waiting.append((topic, payload, retain))
            if s.connection:
                self._pump(s.connection)


class Mosquitto:
    """The real one, on a port and in a folder of its own."""

    def __init__(self, folder, lines=(), persistence=False, port=None):
        self.folder, self.port = os.path.join(str(folder), f"mosquitto-{random.randrange(1 << 30)}"), port or free_port()
        os.makedirs(self.folder)
        os.chmod(self.folder, 0o777)
        self.log = os.path.join(self.folder, "log")
        self.conf = os.path.join(self.folder, "conf")
        with open(self.conf, "w") as f:
            f.write("per_listener_settings false\nlog_type all\n")
            if os.geteuid() == 0:
                f.write("user root\n")
            if persistence:
                f.write(f"persistence true\npersistence_location {self.folder}/\nautosave_interval 1\nautosave_on_changes true\n")
            text = "\n".join(lines)
            f.write(text.replace("FOLDER", self.folder) + "\n")
            if "listener" not in text:
                f.write(f"listener {self.port} 127.0.0.1\n")
            if "allow_anonymous" not in text:
                f.write("allow_anonymous true\n")
        self.process = None

    def start(self):
        self.process = subprocess.Popen([MOSQUITTO, "-c", self.conf], stdout=open(self.log, "ab"), stderr=subprocess.STDOUT)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                assert self.process.poll() is None, self.said()
                time.sleep(0.01)
        raise AssertionError("mosquitto did not start:\n" + self.said())

    def said(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def stop(self, kill=False):
        if self.process and self.process.poll() is None:
            if kill:
                self.process.kill()
            else:
                self.process.terminate()
            self.process.wait()


class Cutter:
    """A line that breaks: a TCP proxy. cut() ends all connections, swallow says whether bytes of the far end are lost before a cut ("forth": those to it). delay holds each
    piece up, one after another, as a busy line does; latency is a long line: so many seconds each way, and any number of pieces under way."""

    def __init__(self, to, port=None):
        self.to, self.port = to, port or free_port()
        self.pairs, self.lock, self.swallow, self.refuse, self.delay = [], threading.Lock(), False, False, 0
        self.latency = 0
        self.accepted = 0
        self.listening = socket.socket()
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listening.bind(("127.0.0.1", self.port))
        self.listening.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listening.accept()
            except OSError:
                return
            self.accepted += 1
            if self.refuse:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.to), 5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            for s in (near, far):
                s.setsockopt(socket.SOL_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.pairs.append((near, far))
            for a, b, back in ((near, far, False), (far, near, True)):
                target, args = (self._carry, (a, b)) if self.latency else (self._pipe, (a, b, back))
                threading.Thread(target=target, args=args, daemon=True).start()

    def _pipe(self, a, b, back):
        try:
            while chunk := a.recv(65536):
                if self.swallow and back == (self.swallow != "forth"):
                    continue
                if self.delay:
                    time.sleep(self.delay)
                b.sendall(chunk)
        except OSError:
            pass
        self._end(a, b)

    def _carry(self, a, b):
        """As _pipe, over a long line; None is its end."""
        under_way = queue.SimpleQueue()

        def arrive():
            try:
                while piece := under_way.get():
                    at, chunk = piece
                    time.sleep(max(0, at - time.monotonic()))
                    b.sendall(chunk)
            except OSError:
                pass
            self._end(a, b)

        threading.Thread(target=arrive, daemon=True).start()
        try:
            while chunk := a.recv(1 << 20):
                under_way.put((time.monotonic() + self.latency, chunk))
        except OSError:
            pass
        under_way.put(None)

    @staticmethod
    def _end(a, b):
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self, reset=True):
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for s in pair:
                try:
                    if reset:
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    s.shutdown(socket.SHUT_RDWR)
                    s.close()
                except OSError:
                    pass

    def close(self):
        self.listening.close()
        self.cut()
