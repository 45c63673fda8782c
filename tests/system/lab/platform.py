"""A destination that answers as the test says: Platform(answer), where answer(request) gives (status, body), or bytes to be sent as they are
before the connection is closed.

A request is a dict of path, headers (lower case) and body (bytes), and once answered its status; all are kept in `requests`, in order."""
import http.server
import json
import ssl
import threading


class Platform:
    def __init__(self, answer=lambda request: (200, ""), tls=None):
        """tls: (certificate, key, authority of the clients, who must show a certificate)."""
        self.requests, self.answer = [], answer
        platform = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = {"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "body": body}
                platform.requests.append(request)
                said = platform.answer(request)
                if isinstance(said, bytes):
                    self.wfile.write(said)
                    self.close_connection = True
                    return
                status, text = said
                request["status"] = status
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None    # a client that was killed, or refused
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls[:2])
            context.load_verify_locations(tls[2])
            context.verify_mode = ssl.CERT_REQUIRED
            # In the connection's own thread: nobody waits for a client that is slow with its handshake.
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def accepted(self):
        """The messages of all bodies that were answered 200, in order."""
        return [m for r in self.requests if r.get("status") == 200 for m in json.loads(r["body"])]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
