"""A destination that answers as the test says: Platform(answer), where answer(request) gives (status, body), or bytes to be sent as they are
before the connection is closed.

A request is a dict of path, headers (lower case) and body (bytes), and once answered its status; all are kept in `requests`, in order."""
import http.server
import json
import threading


class Platform:
    def __init__(self, answer=lambda request: (200, "")):
        self.requests, self.answer = [], answer
        platform = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

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
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def accepted(self):
        """The messages of all bodies that were answered 200, in order."""
        return [m for r in self.requests if r.get("status") == 200 for m in json.loads(r["body"])]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
