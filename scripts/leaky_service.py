#!/usr/bin/env python3
"""A small web service with two leaks in it, for the demo and the tests.

One keeps large blocks, the other many small objects.

It prints the port it listens on. It ends when its stdin does.
"""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

#: For ever: nobody takes anything out.
pages = {}
visits = []


def render(path):
    """Much memory for a moment: this is no leak."""
    page = bytearray(2_000_000)
    page[: len(path)] = path.encode()
    return json.dumps({"path": path, "digest": hashlib.sha256(page).hexdigest()})


def keep_page(path):
    pages[path] = bytearray(64_000)  # site:large


def log_visit(path):
    for step in range(300):
        visits.append({"path": path, "step": step})  # site:small


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path = urlsplit(self.path).path
        answer = render(path)
        keep_page(self.path)
        log_visit(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("port", server.server_address[1], flush=True)
    try:
        while input():
            pass
    except EOFError:
        pass


if __name__ == "__main__":
    main()
