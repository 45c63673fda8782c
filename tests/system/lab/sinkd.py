"""A destination that is a judge: answers HTTP, and keeps every body it accepted, per path, in a spool file.

    sinkd.py PORT SPOOL_DIR

Commands, a line each on standard input, answered by a line on standard output:
    down        close the listener and all connections         up          listen again
    status N    answer N to everything (nothing is kept)        ok          answer 200 again
    delay S     answer S seconds late                          count       requests accepted so far, connections opened
    swallow N   keep the next N bodies but cut the connection instead of answering
    refuse PATH N  answer N to that path alone (nothing is kept); `ok` ends it
    quit
A spool record is: path length, body length (two 4-byte little-endian numbers), path, body. Kept before it is answered.
"""
import asyncio
import os
import struct
import sys


class State:
    def __init__(self, port, spool):
        self.port, self.spool = port, spool
        self.files, self.conns = {}, set()
        self.server = None
        self.status, self.delay, self.swallow = 200, 0.0, 0
        self.accepted = self.opened = 0
        self.refused = {}

    def keep(self, path, body):
        name = path.strip("/").replace("/", "_") or "root"
        f = self.files.get(name)
        if f is None:
            f = self.files[name] = open(os.path.join(self.spool, name), "ab", buffering=1 << 16)
        raw = path.encode()
        f.write(struct.pack("<II", len(raw), len(body)) + raw + body)
        self.accepted += 1

    def flush(self):
        for f in self.files.values():
            f.flush()


class Conn(asyncio.Protocol):
    def __init__(self, st):
        self.st, self.buf, self.head = st, bytearray(), None

    def connection_made(self, transport):
        self.transport = transport
        self.st.conns.add(self)
        self.st.opened += 1

    def connection_lost(self, exc):
        self.st.conns.discard(self)

    def data_received(self, data):
        self.buf += data
        while True:
            if self.head is None:
                end = self.buf.find(b"\r\n\r\n")
                if end < 0:
                    return
                head = bytes(self.buf[:end]).decode("latin-1").split("\r\n")
                del self.buf[: end + 4]
                need = 0
                for line in head[1:]:
                    k, _, v = line.partition(":")
                    if k.lower() == "content-length":
                        need = int(v)
                self.head = (head[0].split(" ")[1], need)
            path, need = self.head
            if len(self.buf) < need:
                return
            body = bytes(self.buf[:need])
            del self.buf[:need]
            self.head = None
            self.answer(path, body)

    def answer(self, path, body):
        st = self.st
        if self not in st.conns:
            return
        status = st.refused.get(path, st.status)
        if status == 200:
            st.keep(path, body)
        if st.swallow > 0:
            st.swallow -= 1
            self.transport.abort()
            return
        reply = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status
        if st.delay:
            asyncio.get_running_loop().call_later(st.delay, self.transport.write, reply)
        else:
            self.transport.write(reply)


async def main(port, spool):
    st = State(port, spool)
    loop = asyncio.get_running_loop()

    async def up():
        if st.server is None:
            st.server = await loop.create_server(lambda: Conn(st), "127.0.0.1", st.port, reuse_address=True, backlog=512)
            st.port = st.server.sockets[0].getsockname()[1]

    await up()
    print(st.port, flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        word = line.decode().split()
        said = "ok"
        if word[0] == "down" and st.server:
            st.server.close()
            st.server = None
            for c in list(st.conns):
                st.conns.discard(c)
                c.transport.abort()
            st.flush()
        elif word[0] == "up":
            await up()
        elif word[0] == "status":
            st.status = int(word[1])
        elif word[0] == "ok":
            st.status, st.delay, st.refused = 200, 0.0, {}
        elif word[0] == "refuse":
            st.refused[word[1]] = int(word[2])
        elif word[0] == "delay":
            st.delay = float(word[1])
        elif word[0] == "swallow":
            st.swallow = int(word[1])
        elif word[0] == "count":
            st.flush()
            said = f"{st.accepted} {st.opened}"
        elif word[0] == "quit":
            break
        print(said, flush=True)
    st.flush()


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
