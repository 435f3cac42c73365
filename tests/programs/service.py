"""The demo's leaky service, with a handshake around it."""

import os
import sys
import threading

from harness import serve

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts"))
import leaky_service

server = leaky_service.Server(("127.0.0.1", 0), leaky_service.Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
serve({"port": lambda: server.server_address[1]})
