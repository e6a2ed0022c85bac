#!/usr/bin/python3
"""A peer that speaks the extension protocol (BEP 10, 9, 11) as a test wants, and tells what it is told.

  metadata_peer.py --torrent FILE --listen ADDR:PORT [--dial HOST:PORT] [--manner MANNER]

MANNER is `honest`; `lies`: a wrong byte in every piece; `claims:N`: says that the metadata has N bytes; `grows`: says so
of one byte more with each piece; `rejects`: gives nothing; `bomb-handshake`, `bomb-metadata`, `bomb-exchange`: bencode
nested without end, instead of the message; `long-exchange`: a message of 1 MiB; `flood`: hundreds of ut_pex messages,
each with new addresses; `asks`: for the first piece, thousands of times.
With `--dial` it goes to somebody first. It has no piece of the torrent. Prints JSON lines: {"event":"connected"}, {"event":"handshake","m":{…},"size":…} for each
extended handshake it gets, {"event":"request","piece":…} and {"event":"exchange"}, and {"event":"closed","reason":…}.
"""
import argparse
import hashlib
import json
import socket
import struct
import sys
import threading

LOCK = threading.Lock()
OWN = {"ut_pex": 9, "ut_metadata": 8}
PIECE = 16384


def say(event, **fields):
    with LOCK:
        print(json.dumps({"event": event, **fields}), flush=True)


def endpoint(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def bencode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"


def bdecode(data, at=0):
    """One value and where it ends."""
    kind = data[at : at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if kind in b"ld":
        values, at = [], at + 1
        while data[at : at + 1] != b"e":
            value, at = bdecode(data, at)
            values.append(value)
        return (values if kind == b"l" else dict(zip(values[::2], values[1::2]))), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1 : end], end


def info_of(torrent):
    """The info dictionary as it stands in the file."""
    at = 1
    while True:
        key, at = bdecode(torrent, at)
        _, end = bdecode(torrent, at)
        if key == b"info":
            return torrent[at:end]
        at = end


class Peer:
    def __init__(self, connection, arguments, info):
        self.connection = connection
        self.manner, _, self.claim = arguments.manner.partition(":")
        host, self.port = endpoint(arguments.listen)
        self.name = b"-XX0002-" + hashlib.sha1(host.encode()).digest()[:12]
        self.info = info
        self.ids = {}
        self.given = 0

    def exactly(self, count):
        data = bytearray()
        while len(data) < count:
            part = self.connection.recv(count - len(data))
            if not part:
                raise ConnectionError("closed by the other side")
            data += part
        return bytes(data)

    def send(self, number, payload):
        self.connection.sendall(struct.pack(">IBB", 2 + len(payload), 20, number) + payload)

    def greet(self):
        reserved = bytes(5) + b"\x10\x00\x04"
        self.connection.sendall(
            b"\x13BitTorrent protocol" + reserved + hashlib.sha1(self.info).digest() + self.name
        )
        self.connection.sendall(struct.pack(">IB", 1, 15))  # have none (BEP 6)
        self.exactly(68)
        if self.manner == "bomb-handshake":
            return self.send(0, b"d1:m" + b"d1:x" * 30000)
        size = int(self.claim) if self.manner == "claims" else len(self.info)
        numbers = {key.encode(): number for key, number in OWN.items()}
        self.send(0, bencode({b"m": numbers, b"metadata_size": size, b"p": self.port, b"v": b"test"}))

    def knows(self):
        """The other side's ids are known now."""
        if self.manner == "bomb-exchange" and "ut_pex" in self.ids:
            self.send(self.ids["ut_pex"], b"d5:added" + b"l" * 30000)
        elif self.manner == "long-exchange" and "ut_pex" in self.ids:
            self.send(self.ids["ut_pex"], bencode({b"added": bytes(6 * 174762)}))
        elif self.manner == "asks" and "ut_metadata" in self.ids:
            for _ in range(5000):
                self.send(self.ids["ut_metadata"], bencode({b"msg_type": 0, b"piece": 0}))
        elif self.manner == "flood" and "ut_pex" in self.ids:
            for number in range(600):
                added = b"".join(struct.pack(">BBHH", 10, 99, number, 1000 + port) for port in range(50))
                self.send(self.ids["ut_pex"], bencode({b"added": added, b"added.f": bytes(50)}))

    def give(self, piece):
        if "ut_metadata" not in self.ids:
            return
        if self.manner == "rejects":
            return self.send(self.ids["ut_metadata"], bencode({b"msg_type": 2, b"piece": piece}))
        if self.manner == "bomb-metadata":
            return self.send(self.ids["ut_metadata"], b"d8:msg_type" + b"l" * 8000)
        data = bytearray(self.info[piece * PIECE : (piece + 1) * PIECE])
        if self.manner == "lies" and data:
            data[len(data) // 2] ^= 0x20
        total = len(self.info)
        if self.manner == "grows":
            self.given += 1
            total += self.given
        if self.manner == "claims":
            total = int(self.claim)
        header = bencode({b"msg_type": 1, b"piece": piece, b"total_size": total})
        self.send(self.ids["ut_metadata"], header + bytes(data))

    def take(self, number, payload):
        if number == 0:
            handshake, _ = bdecode(payload)
            named = {key.decode(): value for key, value in handshake.get(b"m", {}).items()}
            say("handshake", m=named, size=handshake.get(b"metadata_size"))
            self.ids.update({key: value for key, value in named.items() if value})
            for key in [key for key, value in named.items() if not value]:
                self.ids.pop(key, None)
            self.knows()
        elif number == OWN["ut_metadata"]:
            message, _ = bdecode(payload)
            if message.get(b"msg_type") == 0:
                say("request", piece=message[b"piece"])
                self.give(message[b"piece"])
        elif number == OWN["ut_pex"]:
            say("exchange")

    def serve(self):
        self.connection.settimeout(120)
        self.greet()
        while True:
            (length,) = struct.unpack(">I", self.exactly(4))
            message = self.exactly(length)
            if length > 1 and message[0] == 20:
                self.take(message[1], message[2:])


def handle(connection, arguments, info):
    say("connected")
    reason = ""
    try:
        Peer(connection, arguments, info).serve()
    except OSError as error:
        reason = str(error)
    connection.close()
    say("closed", reason=reason)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--torrent", required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--dial")
    parser.add_argument("--manner", default="honest")
    arguments = parser.parse_args()
    with open(arguments.torrent, "rb") as file:
        info = info_of(file.read())
    listener = socket.create_server(endpoint(arguments.listen))
    say("listening")

    def begin(connection):
        threading.Thread(target=handle, args=(connection, arguments, info), daemon=True).start()

    if arguments.dial:
        own = (endpoint(arguments.listen)[0], 0)
        begin(socket.create_connection(endpoint(arguments.dial), source_address=own))
    while True:
        begin(listener.accept()[0])


if __name__ == "__main__":
    sys.exit(main())
