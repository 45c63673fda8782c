"""Random specifications that use every key of the language, made from schemas/sluice.json itself: a key that is added there is in them.

Only what the schema cannot say stands here: which text is a url or a condition, and what goes together with what."""
import json
import random

CONDITIONS = ["position.valid", "a && !b || c > 3", "if(exists('x'), $x, 4) >= 2", "ident ~ '35*'", "$speed * 3.6 + 1 < 7 && name == \"a 'b'\"",
              "(status & 0x0F) != 0", "not (x == 1)", "tonumber('7') > -seq"]
PARAMETERS = ["ident", "timestamp", "position.latitude", "position.speed", "din", "a b", "ż", "x-y"]
WILDCARDS = ["position.*", "can.*", "gsm*"]
IDENTS = ["1", "007", "352093081234567", "true", "null", "1.5", "0x1F", "a:b", "ż", "-1", "1e3", "35*", "*9", "~"]
NAMES = ["a", "no", "true", "1", "two words", "ż", "-dash", "null", "x:y", "&b", "!t", "%p", "@q", "`r", "#s", "?", "~", "1e5", "0x10", "=", "<<"]
TEXTS = ["x", "plain text", "007", "yes", "a: b", "# c", " lead", "back\\slash", "quote\"s", "it's", "ż–€", "{}", "[1]", "null", "1.0", "tab\there"]
TRANSFORMS = ["round-positions", {"use": "round-positions", "with": {"digits": 3}}, {"use": "fill", "with": {"fields": ["din"], "max-age": "90s"}},
              {"use": "thin", "with": {"every": "30000ms", "on-change": ["din"]}}]
SECRETS = ["${env:NOT_SET}", "${file:nowhere/token}", "literal", "Bearer ${env:NOT_SET}"]
UNITS = {"ms": 1, "s": 1000, "m": 60000, "h": 3600000, "d": 86400000}
BYTES = {"B": 1, "KiB": 1024, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 1000, "MB": 10 ** 6}
FOLDER = "lua scripts"
CERTIFICATE = ("ca.pem", "cert.pem", "key.pem")


class Anything:
    def __init__(self, schema, seed):
        self.schema = schema
        self.rng = random.Random(seed)
        self.used = set()    # paths of keys, by definition
        self.port = 20000
        self.names = {}

    # ---- kinds

    def amount(self, schema, units, least, most):
        lo, hi = (self.amount_of(schema.get(k), units, d) for k, d in (("x-min", least), ("x-max", most)))
        n = int(lo * (max(hi, lo) / max(lo, 1)) ** self.rng.random()) if lo else self.rng.randint(1, hi)
        unit = self.rng.choice([u for u in units if units[u] <= n] or list(units)[:1])
        whole = -(-n // units[unit]) if units[unit] * -(-n // units[unit]) <= hi else n // units[unit]
        if self.rng.random() < 0.15 and whole > 1 and units[unit] % 2 == 0:
            return f"{whole - 1}.5{unit}"
        return f"{max(whole, 1)}{unit}"

    @staticmethod
    def amount_of(text, units, default):
        if text is None:
            return default
        unit = max((u for u in units if str(text).endswith(u)), key=len)
        return int(str(text)[:-len(unit)]) * units[unit]

    def kind(self, kind, schema, where):
        rng = self.rng
        if kind == "duration":
            return self.amount(schema, UNITS, 1, UNITS["d"] * 100)
        if kind == "size":
            return self.amount(schema, BYTES, 1, 1 << 36)
        if kind == "rate":
            return rng.choice(("200/s", "0.5/s", "90/m", "1000/h", "1.25/m"))
        if kind == "secret":
            return rng.choice(SECRETS)
        if kind == "expression":
            return rng.choice(CONDITIONS)
        if kind == "parameter":
            return rng.choice(PARAMETERS + (WILDCARDS if "keep" in where or "drop" in where else []))
        if kind == "path":
            if "/tls/" in where:
                return dict(zip(("ca", "cert", "key"), CERTIFICATE))[where.rsplit("/", 1)[1]]
            if where == "settings/adapters":
                return rng.choice((".", "./", FOLDER))
            return rng.choice(("out/file.log", "/tmp/elsewhere", "a b.log", "./x"))
        if kind == "listen":
            self.port += 1
            return rng.choice(("127.0.0.1", "0.0.0.0", "[::1]", "localhost", "")) + f":{self.port}"
        if kind == "url":
            scheme = rng.choice(schema.get("x-schemes", ["http"]))
            if scheme == "unix":
                return "unix:///run/far.sock"
            rest = rng.choice(("", "/", "/in/{device.id}", "/a?b={ident}&c={{x}}", "/${env:NOT_SET}")) if scheme.startswith("http") else ""
            return f"{scheme}://{rng.choice(('far.example.com', '127.0.0.1', '[::1]', 'user:pass@far')[:4 if scheme.startswith('http') else 3])}:{rng.randint(1, 65535)}" + \
                (rest if "proxy" not in where else "")
        if kind == "template":
            return rng.choice(("plain", "x/{ident}", "{{literal}}", "Bearer ${env:NOT_SET}", "{device.id}/{din}"))
        if kind == "switch":
            return rng.choice(("on", "off", True, False))
        if kind == "format":
            return rng.choice(("flespi", "traccar", "osmand"))
        if kind == "network":
            return rng.choice(("10.0.0.0/8", "127.0.0.1", "::1", "fd00::/8"))
        raise KeyError(f"a kind the tests do not know: {kind} at {where}")

    # ---- schemas

    def resolved(self, schema):
        while "$ref" in schema:
            to = self.schema["definitions"][schema["$ref"].rsplit("/", 1)[1]]
            schema = {**to, **{k: v for k, v in schema.items() if k != "$ref"}}
        return schema

    def value(self, schema, where):
        schema = self.resolved(schema)
        rng = self.rng
        if "x-ref" in schema and schema.get("type") != "array":
            return rng.choice(self.names[schema["x-ref"]])
        if "const" in schema:
            return schema["const"]
        if where.endswith("/transforms"):
            return rng.sample(TRANSFORMS, rng.randint(0, 2))
        kind = schema.get("x-kind")
        if kind and kind not in ("options", "type", "name", "ident"):
            return self.kind(kind, schema, where)
        if "enum" in schema:
            return rng.choice(schema["enum"])
        if "anyOf" in schema and "properties" not in schema:
            return self.value(rng.choice(schema["anyOf"]), where)
        types = [t for t in ([schema["type"]] if isinstance(schema["type"], str) else schema["type"]) if t != "null"]
        return getattr(self, rng.choice(types))(schema, where)

    def string(self, schema, where):
        if where.endswith("/topics"):
            return self.rng.choice(("a/b", "a/+/c", "fleet/#", "+/x", "$share/g/a/#"))
        if "pattern" in schema:
            last = where.rsplit("/", 1)[1]
            return {"path": f"/p{self.rng.randint(0, 9999)}", "id": "X-Id"}.get(last) or self.rng.choice(NAMES[:4])
        return self.rng.choice(TEXTS)

    def integer(self, schema, where):
        return self.rng.randint(schema.get("minimum", 0), schema.get("maximum", 1000))

    def number(self, schema, where):
        return self.rng.choice((0, -1, 1.5, 1e21, 12345678901234567890, 0.1))

    def boolean(self, schema, where):
        return self.rng.random() < 0.5

    def array(self, schema, where):
        item = schema["items"]
        if "x-ref" in schema:
            some = self.names[schema["x-ref"]]
            return self.rng.sample(some, self.rng.randint(schema.get("minItems", 0), min(2, len(some)))) if some else []
        out = []
        for _ in range(self.rng.randint(max(schema.get("minItems", 0), 1), 3)):
            v = self.value(item, where)
            if v not in out:
                out.append(v)
        return out

    def object(self, schema, where):
        rng = self.rng
        out = {}
        properties = schema.get("properties", {})
        known = [k for k, v in properties.items() if not self.resolved(v).get("x-planned") and k != "with"]
        required = set(schema.get("required", []))
        if schema.get("maxProperties") == 1 and known:
            known = [rng.choice(known)]
        chance = rng.choice((0.15, 0.5, 0.9))
        for k in known:
            if k in required or rng.random() < chance or schema.get("maxProperties") == 1:
                out[k] = self.value(properties[k], f"{where}/{k}")
                self.used.add(f"{where}/{k}")
        least = schema.get("minProperties", 0)
        if len(out) < least and known:
            k = rng.choice(known)
            out[k] = self.value(properties[k], f"{where}/{k}")
            self.used.add(f"{where}/{k}")
        if isinstance(schema.get("additionalProperties"), dict):
            for i in range(1 if schema.get("maxProperties") == 1 else rng.randint(max(least, 1), 3)):
                name = rng.choice(PARAMETERS[2:]) if "parameter" in json.dumps(schema.get("propertyNames", "")) else f"X-Key-{i}"
                out[name] = self.value(schema["additionalProperties"], where + "/*")
        return out

    # ---- a specification

    def member(self, family, types):
        name = self.rng.choice(types)
        definition = f"{family}-{name}"
        out = self.value({"$ref": f"#/definitions/{definition}"}, definition)
        out["type"] = name
        return out

    def specification(self):
        rng = self.rng
        definitions = self.schema["definitions"]
        built = {f: [n[len(f) + 1:] for n, s in definitions.items() if n.startswith(f + "-") and not s.get("x-planned")] for f in ("channel", "destination")}

        def some(least, most):
            return rng.sample(NAMES, rng.randint(least, most))

        idents = rng.sample(IDENTS, rng.randint(1, 6))
        self.names = {"channel": some(1, 4), "group": some(0, 3), "destination": some(1, 4), "stream": some(1, 4)}
        out = {"sluice": 1, "settings": self.value({"$ref": "#/definitions/settings"}, "settings")}
        out["channels"] = {n: self.member("channel", built["channel"]) for n in self.names["channel"]}
        out["destinations"] = {n: self.member("destination", built["destination"]) for n in self.names["destination"]}
        out["devices"] = {i: self.value({"$ref": "#/definitions/device"}, "device") for i in idents}
        out["groups"] = {}
        groups, self.names["group"] = self.names["group"], []
        for g in groups:   # groups of those before, so that there is no loop
            out["groups"][g] = {"devices": rng.sample(idents, rng.randint(0, len(idents))), "groups": list(self.names["group"])}
            self.used |= {"group/devices", "group/groups"}
            self.names["group"].append(g)
        out["streams"] = {n: self.value({"$ref": "#/definitions/stream"}, "stream") for n in self.names["stream"]}
        out["subscriptions"] = []
        for s in self.names["stream"]:
            one = {"stream": s}
            for k, v in (("channels", self.names["channel"]), ("devices", idents), ("groups", groups)):
                if v and rng.random() < 0.6:
                    one[k] = rng.sample(v, rng.randint(1, len(v)))
                    self.used.add(f"subscription/{k}")
            if len(one) > 1:
                out["subscriptions"].append(one)
        self.mend(out)
        return json.dumps(out, ensure_ascii=False, indent=1)

    def mend(self, out):
        """What goes together, and the schema cannot say."""
        limits = out["settings"].get("limits", {})
        for k in ("message", "body"):
            if "message" in limits or "body" in limits:
                limits[k] = {"message": "20KiB", "body": "2MiB"}[k]
        for i, d in enumerate(out["devices"].values()):
            d.pop("id", None) if i else None
            if self.names["group"] == []:
                d.pop("groups", None)
        for i, s in enumerate(out["streams"].values()):
            if "was" in s:
                s["was"] = f"former {i}"
            retry = s.get("retry", {})
            if "first" in retry and "max" in retry:
                retry["first"], retry["max"] = "70ms", "1.5h"
        for c in list(out["channels"].values()) + list(out["destinations"].values()):
            if "password" in c:
                c.setdefault("username", "u")
            if "topic-ident" in c:
                c.pop("at", None) if self.rng.random() < 0.5 else c.pop("topic-ident")
            tls = c.get("tls", {})
            if "cert" in tls or "key" in tls:
                tls["cert"], tls["key"] = CERTIFICATE[1:]


def keys(schema):
    """Every key of the language that is built, as Anything.used names it."""
    a = Anything(schema, 0)
    found = set()

    def walk(s, where):
        s = a.resolved(s)
        if s.get("x-planned"):
            return
        for k, v in s.get("properties", {}).items():
            if not a.resolved(v).get("x-planned") and k != "with":
                found.add(f"{where}/{k}")
                walk(v, f"{where}/{k}")

    for name in schema["definitions"]:
        if name in ("settings", "device", "group", "stream") or name.startswith(("channel-", "destination-")):
            walk({"$ref": f"#/definitions/{name}"}, name)
    return found | {"subscription/channels", "subscription/devices", "subscription/groups"}
