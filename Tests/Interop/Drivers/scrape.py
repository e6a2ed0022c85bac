#!/usr/bin/python3
"""Asks an HTTP tracker once for a torrent's counts: prints {"complete": …, "incomplete": …, "downloaded": …}.

  scrape.py URL INFOHASH [--wait-complete N] [--wait-peers N] [--within SECONDS]

With `--wait-…` it asks until the tracker knows that many seeds or peers, or ends with status 1 when the time is up.
"""
import argparse
import json
import sys
import time
import urllib.parse
import urllib.request


def decode(data, at=0):
    """A bencode reader for what scrape needs, written apart from the one under test."""
    lead = data[at : at + 1]
    if lead == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if lead in (b"l", b"d"):
        items, at = [], at + 1
        while data[at : at + 1] != b"e":
            item, at = decode(data, at)
            items.append(item)
        if lead == b"l":
            return items, at + 1
        return dict(zip(items[::2], items[1::2])), at + 1
    colon = data.index(b":", at)
    start = colon + 1
    end = start + int(data[at:colon])
    return data[start:end], end


def ask(url, info_hash):
    separator = "&" if "?" in url else "?"
    full = f"{url}{separator}info_hash={urllib.parse.quote_from_bytes(info_hash, safe='')}"
    with urllib.request.urlopen(full, timeout=5) as answer:
        files = decode(answer.read())[0].get(b"files", {})
    entry = files.get(info_hash, {})
    return {key.decode(): value for key, value in entry.items() if isinstance(value, int)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("infohash", type=bytes.fromhex)
    parser.add_argument("--wait-complete", type=int, default=0)
    parser.add_argument("--wait-peers", type=int, default=0)
    parser.add_argument("--within", type=float, default=0)
    arguments = parser.parse_args()
    deadline = time.monotonic() + arguments.within
    while True:
        try:
            counts = ask(arguments.url, arguments.infohash)
        except (OSError, ValueError) as error:
            counts = {"error": str(error)}
        seeds = counts.get("complete", 0)
        peers = seeds + counts.get("incomplete", 0)
        enough = seeds >= arguments.wait_complete and peers >= arguments.wait_peers and "error" not in counts
        if enough or time.monotonic() >= deadline:
            print(json.dumps(counts))
            return 0 if enough else 1
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
