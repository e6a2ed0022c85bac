#!/usr/bin/python3
"""A seed that does what a test wants and counts what it does: honest, lying, stalling or silent (BEP 3, plain TCP).

  scripted_peer.py --infohash HEX --pieces N --piece-length N --content FILE --listen ADDR:PORT
                   [--lie every|first|MODULUS] [--stall-after BLOCKS] [--choke] [--fast]

`--content` is the torrent's bytes, all files joined in order. `--lie` puts a wrong byte into every block, the first
of each connection, or about one in MODULUS. `--stall-after` stops answering after so many blocks of a connection
while staying connected; `--choke` never unchokes. Prints JSON lines: {"event":"connected"},
{"event":"closed","served":…,"lied":…}, and on SIGTERM {"event":"sum","connections":…,"served":…,"lied":…,
"bytes":…,"again":…}, where `again` counts bytes of blocks that were served before, by whichever connection.
"""
import argparse
import json
import signal
import socket
import struct
import sys
import threading

LOCK = threading.Lock()
SUMS = {"connections": 0, "served": 0, "lied": 0, "bytes": 0, "again": 0}
SERVED = set()


def say(event, **fields):
    with LOCK:
        print(json.dumps({"event": event, **fields}), flush=True)


def endpoint(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class Peer:
    def __init__(self, connection, arguments, content):
        self.connection = connection
        self.arguments = arguments
        self.content = content
        self.served = 0
        self.lied = 0

    def exactly(self, count):
        data = bytearray()
        while len(data) < count:
            part = self.connection.recv(count - len(data))
            if not part:
                raise ConnectionError("closed by the other side")
            data += part
        return bytes(data)

    def send(self, kind, payload=b""):
        self.connection.sendall(struct.pack(">IB", 1 + len(payload), kind) + payload)

    def handshake(self):
        greeting = self.exactly(68)
        if greeting[:20] != b"\x13BitTorrent protocol":
            raise ConnectionError("not a plain BitTorrent handshake")
        if greeting[28:48] != self.arguments.infohash:
            raise ConnectionError("another torrent")
        reserved = bytes(7) + (b"\x04" if self.arguments.fast else b"\x00")
        # The listening port is part of the name: the same peer has the same one on every connection.
        name = b"-XX0001-" + b"%012d" % endpoint(self.arguments.listen)[1]
        self.connection.sendall(b"\x13BitTorrent protocol" + reserved + self.arguments.infohash + name)
        pieces = self.arguments.pieces
        if self.arguments.fast and greeting[27] & 0x04:
            self.send(14)  # have all (BEP 6)
        else:
            bits = bytearray(b"\xff" * ((pieces + 7) // 8))
            if pieces % 8:
                bits[-1] = (0xFF << (8 - pieces % 8)) & 0xFF
            self.send(5, bytes(bits))

    def lies_about(self, piece, begin):
        lie = self.arguments.lie
        if lie is None:
            return False
        if lie == "every":
            return True
        if lie == "first":
            return self.served == 0
        return (piece * 7919 + begin // 16384) % int(lie) == 0

    def answer(self, payload):
        piece, begin, length = struct.unpack(">III", payload)
        if length > 128 * 1024:
            raise ConnectionError("asks for too much")
        limit = self.arguments.stall_after
        if limit is not None and self.served >= limit:
            return
        start = piece * self.arguments.piece_length + begin
        self.content.seek(start)
        block = bytearray(self.content.read(length))
        if len(block) != length:
            raise ConnectionError("asks past the end")
        lie = self.lies_about(piece, begin)
        if lie:
            block[len(block) // 2] ^= 0x20
            self.lied += 1
        self.send(7, struct.pack(">II", piece, begin) + block)
        self.served += 1
        with LOCK:
            SUMS["served"] += 1
            SUMS["lied"] += lie
            SUMS["bytes"] += length
            SUMS["again"] += length if start in SERVED else 0
            SERVED.add(start)

    def serve(self):
        self.connection.settimeout(60)
        self.handshake()
        while True:
            (length,) = struct.unpack(">I", self.exactly(4))
            if length > 1 << 20:
                raise ConnectionError("a message too long")
            if length == 0:
                continue
            message = self.exactly(length)
            if message[0] == 2 and not self.arguments.choke:  # interested
                self.send(1)  # unchoke
            elif message[0] == 6:
                self.answer(message[1:])


def handle(connection, address, arguments):
    with LOCK:
        SUMS["connections"] += 1
    say("connected", peer=str(address))
    reason = ""
    with open(arguments.content, "rb") as content:
        peer = Peer(connection, arguments, content)
        try:
            peer.serve()
        except (OSError, struct.error) as error:
            reason = str(error)
    connection.close()
    say("closed", served=peer.served, lied=peer.lied, reason=reason)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--infohash", type=bytes.fromhex, required=True)
    parser.add_argument("--pieces", type=int, required=True)
    parser.add_argument("--piece-length", type=int, required=True)
    parser.add_argument("--content", required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--lie")
    parser.add_argument("--stall-after", type=int)
    parser.add_argument("--choke", action="store_true")
    parser.add_argument("--fast", action="store_true")
    arguments = parser.parse_args()
    host, port = endpoint(arguments.listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family)

    def accept():
        while True:
            connection, address = listener.accept()
            threading.Thread(target=handle, args=(connection, address, arguments), daemon=True).start()

    # Blocked before any thread starts, so that the wait below is the one to get it.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    threading.Thread(target=accept, daemon=True).start()
    say("listening")
    signal.sigwait([signal.SIGTERM])
    with LOCK:
        sums = dict(SUMS)
    say("sum", **sums)
    return 0


if __name__ == "__main__":
    sys.exit(main())
