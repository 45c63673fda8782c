"""Other people's brokers, where they are installed: aedes (npm), RabbitMQ's MQTT plugin, mosquitto. Out to them and back in from them, over a line that
is cut, with the program killed and the broker restarted: nothing missing, and what repeats stays within the windows."""
import json
import os
import shutil
import subprocess
import time

import pytest
from lab import Load, deliveries, free_port
from lab.mqtt import MOSQUITTO, Cutter, Mosquitto
from lab.program import sanitized

pytestmark = pytest.mark.long

SPEC = """
sluice: 1
settings: {{data: data}}
channels:
  in: {{type: http, listen: '127.0.0.1:{http}', path: /messages}}
  back: {{type: mqtt, url: 'mqtt://127.0.0.1:{port}', topics: ['fleet/+/msg'], version: '{version}', client-id: sluice-back{who}}}
destinations:
  far: {{type: mqtt, url: 'mqtt://127.0.0.1:{port}', topic: 'fleet/{{ident}}/msg', version: '{version}', window: 20{who}}}
  end: {{type: http, url: '{url}/far'}}
streams:
  s: {{to: far, retry: {{first: 100ms, max: 1s, timeout: 5s}}}}
  e: {{to: end}}
subscriptions: [{{stream: s, channels: [in]}}, {{stream: e, channels: [back]}}]
"""

AEDES = """
const a = require('aedes'), net = require('net');
(async () => {
  const broker = a.Aedes && a.Aedes.createBroker ? await a.Aedes.createBroker() : (a.Server ? new a.Server() : a());
  net.createServer(broker.handle).listen(%d, '127.0.0.1', () => console.log('ready'));
})();
"""


def wait_port(port, process, said, wait=90):
    import socket
    end = time.monotonic() + wait
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < end, said()
            time.sleep(0.2)


class Aedes:
    restarts = 0   # it keeps everything in memory
    count = 5000   # aedes 1.2 numbers from anywhere after a reconnect, also where older messages still wait for their PUBACK: more in flight, and it loses some
    who = ""
    version = "3.1.1"

    def __init__(self, folder):
        self.port = free_port()
        self.log = folder / "aedes.log"
        self.process = subprocess.Popen(["node", "-e", AEDES % self.port], stdout=open(self.log, "ab"), stderr=subprocess.STDOUT, cwd=os.environ.get("AEDES", "/"))
        wait_port(self.port, self.process, self.log.read_text)

    @staticmethod
    def there():
        if not shutil.which("node"):
            return False
        return subprocess.run(["node", "-e", "require('aedes')"], capture_output=True, timeout=30, cwd=os.environ.get("AEDES", "/")).returncode == 0

    def stop(self):
        self.process.kill()
        self.process.wait()


class Rabbit:
    """A node of its own, with its own folder and without the distribution's epmd port."""
    restarts = 1
    count = 20000
    version = "3.1.1"
    who = ", username: '${file:guest}', password: '${file:guest}'"

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        (folder / "plugins").write_text("[rabbitmq_mqtt].\n")
        (folder / "rabbit.conf").write_text(f"listeners.tcp.default = {free_port()}\nmqtt.listeners.tcp.default = {self.port}\nmqtt.allow_anonymous = true\n"
                                            "mqtt.subscription_ttl = 600000\nmqtt.prefetch = 50\n")
        self.env = dict(os.environ, RABBITMQ_NODENAME=f"sluice{self.port}@localhost", RABBITMQ_BASE=str(folder), RABBITMQ_MNESIA_BASE=str(folder / "mnesia"),
                        RABBITMQ_LOG_BASE=str(folder / "logs"), RABBITMQ_ENABLED_PLUGINS_FILE=str(folder / "plugins"), RABBITMQ_CONFIG_FILE=str(folder / "rabbit.conf"),
                        RABBITMQ_DIST_PORT=str(free_port()), RABBITMQ_PID_FILE=str(folder / "pid"), HOME=str(folder), ERL_EPMD_PORT=str(free_port()))
        self.start()

    @staticmethod
    def server():
        for path in ("/usr/lib/rabbitmq/bin/rabbitmq-server", shutil.which("rabbitmq-server")):
            if path and os.path.exists(path):
                return path
        return None

    def start(self):
        log = open(self.folder / "rabbit.log", "ab")
        self.process = subprocess.Popen([self.server()], env=self.env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, cwd=self.folder)
        wait_port(self.port, self.process, (self.folder / "rabbit.log").read_text)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        subprocess.run(["epmd", "-port", self.env["ERL_EPMD_PORT"], "-kill"], capture_output=True, timeout=20, env=self.env)


class Eclipse(Mosquitto):
    """Mosquitto, with its sessions on disk."""
    restarts = 1
    count = 20000
    who = ""
    version = "3.1.1"

    def __init__(self, folder):
        super().__init__(folder, lines=["max_queued_messages 0", "persistence true", "persistence_location FOLDER/"])
        self.start()


class Eclipse5(Eclipse):
    version = "5"


@pytest.fixture(params=["aedes", "rabbitmq", "mosquitto", "mosquitto-5"])
def broker(request, tmp_path):
    kind = {"aedes": Aedes, "rabbitmq": Rabbit, "mosquitto": Eclipse, "mosquitto-5": Eclipse5}[request.param]
    if request.param.startswith("mosquitto") and not MOSQUITTO:
        pytest.skip("mosquitto is not installed")
    if kind is Aedes and not Aedes.there():
        pytest.skip("aedes is not installed (npm install aedes, and AEDES=its folder)")
    if kind is Rabbit and not (Rabbit.server() and os.geteuid() == 0 or Rabbit.server() and shutil.which("epmd")):
        pytest.skip("rabbitmq-server is not installed")
    (tmp_path / "broker").mkdir()
    b = kind(tmp_path / "broker")
    yield b
    b.stop()


def test_out_and_back(program, sink, broker, tmp_path):
    (tmp_path / "guest").write_text("guest\n")
    line = Cutter(broker.port)
    load = Load(free_port(), 20, connections=2, batches=(10, 50))
    p = program(SPEC.format(http=load.port, port=line.port, url=sink.url, who=broker.who, version=broker.version))

    def back():
        return p.status()["channels"][1]

    def connected(wait=60):
        end = time.monotonic() + wait
        while not back()["connected"]:
            assert time.monotonic() < end, p.log()[-3000:]
            time.sleep(0.05)

    connected()
    count, breaks, kills = broker.count, 0, 0
    load.run(count, background=True, rate=count / 5)
    for k in range(5):
        time.sleep(0.8)
        if k == 3:
            p.kill()
            p.start()
            kills += 1
        elif k == 2 and broker.restarts:
            broker.stop()
            broker.start()
        else:
            line.cut(reset=bool(k % 2))
        breaks += 1
        connected()
    load.join()
    p.drained(streams=["s"])
    end = time.monotonic() + 120
    while True:
        got = deliveries(sink, "/far")
        missing = sum(len(m) - len({s for s, _ in got.get(i, [])}) for i, m in load.sent.items())
        if not missing:
            break
        assert time.monotonic() < end, f"{missing} missing; {json.dumps(back())}\n{p.log()[-3000:]}"
        time.sleep(0.3)
    total = sum(len(v) for v in got.values())
    print(f"{count} messages, {breaks} breaks: {total - count} repeats, {p.memory()[1] >> 20} MiB at most")
    # Out, the window; back, what was not acknowledged; after a kill also what was accepted and not recorded, by either stream.
    assert total - count <= breaks * (20 + 100) + kills * 2 * 600 + load.unsure
    assert sanitized() or p.memory()[1] < 64 << 20
    line.close()
