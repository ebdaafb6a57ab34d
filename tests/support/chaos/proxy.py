"""A TCP proxy on loopback whose connections fail on demand."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PASS, DELAY, DROP, HALF_CLOSE, RESET = "pass", "delay", "drop", "half-close", "reset"
MODES = (PASS, DELAY, DROP, HALF_CLOSE, RESET)
CHUNK = 64 * 1024
LOOK_S = 0.05


class Proxy:
    """Listens on ``port`` and passes on to ``target``. ``mode`` may be changed at any time and counts for all
    connections, also for those that are open:

    pass        bytes go both ways
    delay       each chunk waits ``delay_s`` first
    drop        bytes are swallowed, both ends stay open: a cable that was pulled
    half-close  the answer's way is closed (FIN to the client) while the request's way still passes on: the server
                gets, and does, what nobody will hear about
    reset       every open connection ends with RST, and new ones are refused the same way
    """

    def __init__(self, target_port: int, *, delay_s: float = 0.2) -> None:
        self.target_port, self.delay_s = target_port, delay_s
        self.mode = PASS
        self.n_connections = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self._thread.start()

    @contextmanager
    def failing(self, mode: str) -> Iterator[None]:
        """The mode for the length of the block; every connection that lived through it is reset at its end."""
        self.mode = mode
        if mode == RESET:
            self.reset_all()
        try:
            yield
        finally:
            self.reset_all()
            self.mode = PASS

    def reset_all(self) -> None:
        with self._lock:
            victims = list(self._open)
        for victim in victims:
            _reset(victim)

    def close(self) -> None:
        self._closing.set()
        # A blocked accept is not woken by closing its socket: knock once.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        self._thread.join(5)
        self._listener.close()
        self.reset_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._closing.is_set():
                client.close()
                return
            self.n_connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if self.mode == RESET:
            _reset(client)
            return
        try:
            server = socket.create_connection(("127.0.0.1", self.target_port), timeout=10)
        except OSError:
            _reset(client)
            return
        with self._lock:
            self._open |= {client, server}
        back = threading.Thread(target=self._pump, args=(server, client, True), daemon=True)
        back.start()
        self._pump(client, server, False)
        back.join()
        with self._lock:
            self._open -= {client, server}
        for end in (client, server):
            with contextlib.suppress(OSError):
                end.close()

    def _pump(self, source: socket.socket, sink: socket.socket, answering: bool) -> None:
        closed = False
        with contextlib.suppress(OSError):
            source.settimeout(LOOK_S)
            while True:
                if answering and self.mode == HALF_CLOSE and not closed:
                    sink.shutdown(socket.SHUT_WR)
                    closed = True
                try:
                    data = source.recv(CHUNK)
                except TimeoutError:
                    continue
                if not data:
                    break
                if self.mode == DELAY:
                    time.sleep(self.delay_s)
                if self.mode == DROP or closed:
                    continue
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)  # a clean end is passed on as one


def _reset(victim: socket.socket) -> None:
    """Close with RST: linger on, zero seconds."""
    with contextlib.suppress(OSError):
        victim.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        victim.close()  # the pumps look up every LOOK_S and find it gone


@contextmanager
def proxied(target_port: int, *, delay_s: float = 0.2) -> Iterator[Proxy]:
    proxy = Proxy(target_port, delay_s=delay_s)
    try:
        yield proxy
    finally:
        proxy.close()
