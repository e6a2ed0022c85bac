#!/usr/bin/python3
"""One libtorrent session for one torrent, told about on standard output as JSON lines.

  lt_client.py run --torrent T --save DIR --listen ADDR:PORT[,…] [--mode seed|download] [--peer HOST:PORT]…
  lt_client.py create --path P --output T --tracker URL… --piece-length N [--format v1|hybrid]
  lt_client.py show --torrent T
  lt_client.py dht --listen ADDR:PORT [--node HOST:PORT]… [ACTION]…

`run` prints {"event":"state",…} whenever the state changes and at least once a second, {"event":"alert",…} for what
went wrong, and {"event":"complete"} once all is there. It ends on SIGTERM, or, with `--mode download` and without
`--stay`, when all is there.

`dht` runs a node of the DHT until SIGTERM, and does each action again and again, every second or two, once it knows
another node: --announce HASH (with the
port of --listen), --peers HASH, --put TEXT, --get TARGET, --put-key SEED:KEY:SALT:TEXT, --get-key KEY:SALT.
It prints {"event":"nodes",…}, {"event":"peers",…}, {"event":"item",…} and {"event":"stored",…}.
"""
import argparse
import hashlib
import json
import os
import signal
import sys
import time
import warnings

import libtorrent as lt

# The count of DHT nodes is there in the old status only.
warnings.simplefilter("ignore", DeprecationWarning)

DISCOVERY_OFF = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
}


# All nodes of a test are in one small private network.
DHT_OF_A_TEST = {
    "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False,
    "dht_prefer_verified_node_ids": False,
    "dht_enforce_node_id": False,
    "dht_ignore_dark_internet": False,
    "dht_block_ratelimit": 100000,
    "dht_upload_rate_limit": 1000000,
}


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def endpoint(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def addresses_of(listen):
    return ",".join(sorted({endpoint(one)[0] for one in listen.split(",")}))


def settings(arguments):
    encryption = {"off": 2, "allow": 1, "require": 0}[arguments.encryption]
    chosen = dict(DISCOVERY_OFF)
    chosen.update({"enable_lsd": arguments.lsd, "enable_dht": bool(arguments.node), "dht_bootstrap_nodes": ""})
    chosen.update(DHT_OF_A_TEST)
    chosen.update(
        {
            "listen_interfaces": arguments.listen,
            "outgoing_interfaces": addresses_of(arguments.listen),
            "out_enc_policy": encryption,
            "in_enc_policy": encryption,
            "enable_incoming_utp": arguments.utp,
            "enable_outgoing_utp": arguments.utp,
            "enable_incoming_tcp": not arguments.only_utp,
            "enable_outgoing_tcp": not arguments.only_utp,
            "allow_multiple_connections_per_ip": True,
            "validate_https_trackers": True,
            # Tests have seconds, not minutes: ask trackers and peers again soon.
            "min_reconnect_time": 1,
            "unchoke_interval": 2,
            "tracker_completion_timeout": 20,
            "tracker_receive_timeout": 10,
            "download_rate_limit": arguments.download_limit,
            "alert_mask": lt.alert.category_t.error_notification
            | lt.alert.category_t.status_notification
            | lt.alert.category_t.tracker_notification
            | lt.alert.category_t.peer_notification
            | lt.alert.category_t.connect_notification
            | lt.alert.category_t.storage_notification
            | lt.alert.category_t.ip_block_notification,
        }
    )
    return chosen


def run(arguments):
    session = lt.session(settings(arguments))
    wanted = lt.add_torrent_params()
    wanted.ti = lt.torrent_info(arguments.torrent)
    wanted.save_path = arguments.save
    # Neither paused nor queued; `seed_mode` would trust the files unread, so it stays off.
    wanted.flags = 0
    if not arguments.pex:
        wanted.flags |= lt.torrent_flags.disable_pex
    if not arguments.node:
        wanted.flags |= lt.torrent_flags.disable_dht
    if not arguments.lsd:
        wanted.flags |= lt.torrent_flags.disable_lsd
    if arguments.no_tracker:
        wanted.trackers = []
    # The session's own limits are not for peers of private networks, which all peers here are.
    if arguments.download_limit:
        wanted.download_limit = arguments.download_limit
    if arguments.upload_limit:
        wanted.upload_limit = arguments.upload_limit
    handle = session.add_torrent(wanted)
    if arguments.no_tracker:
        handle.replace_trackers([])

    leaving = []
    signal.signal(signal.SIGTERM, lambda *_: leaving.append(True))
    told_complete = False
    last = None
    connected = False
    due = 0.0
    while not leaving:
        session.wait_for_alert(200)
        for alert in session.pop_alerts():
            report(alert)
        status = handle.status()
        if not connected and str(status.state) not in ("checking_files", "checking_resume_data"):
            for peer in arguments.peer:
                handle.connect_peer(endpoint(peer))
            connected = True
        if arguments.node and time.monotonic() >= due:
            due = time.monotonic() + 2
            for node in arguments.node:
                session.add_dht_node(endpoint(node))
            handle.force_dht_announce()
        now = {
            "state": str(status.state),
            "progress": status.progress_ppm,
            "peers": status.num_peers,
            "seeds": status.num_seeds,
            "done": status.total_wanted_done,
            "total": status.total_wanted,
            "down": status.total_payload_download,
            "up": status.total_payload_upload,
            "failed": status.total_failed_bytes,
            "listening": session.is_listening(),
        }
        if now != last:
            say("state", **now)
            last = now
        if status.is_seeding and not told_complete:
            told_complete = True
            handle.flush_cache()
            say("complete", v2=str(status.info_hashes.has_v2()))
            if arguments.mode == "download" and not arguments.stay:
                break
    # Tell the tracker and close the files before leaving.
    session.pause()
    session.remove_torrent(handle)
    for _ in range(20):
        session.wait_for_alert(100)
        for alert in session.pop_alerts():
            report(alert)
            if isinstance(alert, lt.torrent_removed_alert):
                return 0
    return 0


def report(alert):
    name = type(alert).__name__.removesuffix("_alert")
    if name in ("state_update", "performance"):
        return
    say("alert", kind=name, text=alert.message())


def expanded(seed):
    """libtorrent wants the secret as RFC 8032 expands it."""
    secret = bytearray(hashlib.sha512(seed).digest())
    secret[0] &= 248
    secret[31] &= 63
    secret[31] |= 64
    return bytes(secret)


def announcing(session, infohash):
    """The binding cannot announce by itself: a torrent that is all but empty does."""
    wanted = lt.parse_magnet_uri("magnet:?xt=urn:btih:" + infohash)
    wanted.save_path = "."
    return session.add_torrent(wanted)


def dht(arguments):
    session = lt.session(
        {
            **DHT_OF_A_TEST,
            "listen_interfaces": arguments.listen,
            "enable_dht": True,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            # Hosts named here would be asked, and be in nobody's table.
            "dht_bootstrap_nodes": "",
            "alert_mask": lt.alert.category_t.dht_notification
            | lt.alert.category_t.dht_operation_notification
            | lt.alert.category_t.error_notification,
        }
    )
    announced = [announcing(session, infohash) for infohash in arguments.announce]
    leaving = []
    signal.signal(signal.SIGTERM, lambda *_: leaving.append(True))
    known = -1
    due = 0.0
    while not leaving:
        session.wait_for_alert(100)
        for alert in session.pop_alerts():
            tell(alert)
        # The table of libtorrent's DHT begins to work a moment after the session.
        count = session.status().dht_nodes
        if count != known:
            say("nodes", count=count)
            known = count
        if time.monotonic() < due:
            continue
        due = time.monotonic() + 1.5
        if count < len(arguments.node):
            for node in arguments.node:
                session.add_dht_node(endpoint(node))
        if count == 0:
            continue
        for handle in announced:
            handle.force_dht_announce()
        for infohash in arguments.peers:
            session.dht_get_peers(lt.sha1_hash(bytes.fromhex(infohash)))
        for text in arguments.put:
            target = session.dht_put_immutable_item(text)
            say("put", target=str(target))
        for target in arguments.get:
            session.dht_get_immutable_item(lt.sha1_hash(bytes.fromhex(target)))
        for text in arguments.put_key:
            seed, public, salt, value = text.split(":", 3)
            session.dht_put_mutable_item(expanded(bytes.fromhex(seed)), bytes.fromhex(public), value, salt)
        for text in arguments.get_key:
            key, _, salt = text.partition(":")
            session.dht_get_mutable_item(bytes.fromhex(key), salt)
    return 0


def shown(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else repr(value)


def tell(alert):
    if isinstance(alert, lt.dht_get_peers_reply_alert):
        say("peers", infohash=str(alert.info_hash), peers=["%s:%d" % peer for peer in alert.peers()])
    elif isinstance(alert, lt.dht_immutable_item_alert):
        say("item", target=str(alert.target), value=shown(alert.item))
    elif isinstance(alert, lt.dht_mutable_item_alert):
        say("item", value=shown(alert.item), seq=alert.seq, salt=shown(alert.salt))
    elif isinstance(alert, lt.dht_put_alert):
        say("stored", target=str(alert.target), count=alert.num_success, text=alert.message())
    elif isinstance(alert, (lt.dht_error_alert if hasattr(lt, "dht_error_alert") else ())):
        say("alert", kind="dht_error", text=alert.message())


def create(arguments):
    files = lt.file_storage()
    path = os.path.abspath(arguments.path)
    lt.add_files(files, path)
    flags = lt.create_torrent.v1_only if arguments.format == "v1" else 0
    torrent = lt.create_torrent(files, piece_size=arguments.piece_length, flags=flags)
    for tier, url in enumerate(arguments.tracker):
        torrent.add_tracker(url, tier)
    torrent.set_creator("libtorrent " + lt.__version__)
    lt.set_piece_hashes(torrent, os.path.dirname(path))
    with open(arguments.output, "wb") as out:
        out.write(lt.bencode(torrent.generate()))
    return 0


def show(arguments):
    info = lt.torrent_info(arguments.torrent)
    files = info.files()
    listing = [
        {
            "path": files.file_path(index),
            "length": files.file_size(index),
            "padding": bool(files.file_flags(index) & lt.file_storage.flag_pad_file),
        }
        for index in range(files.num_files())
    ]
    tiers = {}
    for tracker in info.trackers():
        tiers.setdefault(tracker.tier, []).append(tracker.url)
    hashes = info.info_hashes()
    print(
        json.dumps(
            {
                "name": info.name(),
                "infohash": str(hashes.v1),
                "v1": hashes.has_v1(),
                "v2": hashes.has_v2(),
                "piece_length": info.piece_length(),
                "pieces": info.num_pieces(),
                "total": sum(one["length"] for one in listing if not one["padding"]),
                "files": listing,
                "trackers": [tiers[tier] for tier in sorted(tiers)],
                "webseeds": [seed["url"] for seed in info.web_seeds()],
                "private": info.priv(),
                "comment": info.comment(),
                "creator": info.creator(),
                "date": info.creation_date(),
            }
        )
    )
    return 0


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run")
    one.add_argument("--torrent", required=True)
    one.add_argument("--save", required=True)
    one.add_argument("--listen", required=True)
    one.add_argument("--mode", choices=["seed", "download"], default="download")
    one.add_argument("--stay", action="store_true")
    one.add_argument("--peer", action="append", default=[])
    one.add_argument("--no-tracker", action="store_true")
    one.add_argument("--lsd", action="store_true")
    one.add_argument("--pex", action="store_true")
    one.add_argument("--node", action="append", default=[], help="switches the DHT on")
    one.add_argument("--encryption", choices=["off", "allow", "require"], default="off")
    one.add_argument("--utp", action="store_true")
    one.add_argument("--only-utp", action="store_true")
    one.add_argument("--download-limit", type=int, default=0)
    one.add_argument("--upload-limit", type=int, default=0)
    one.set_defaults(action=run)
    two = commands.add_parser("create")
    two.add_argument("--path", required=True)
    two.add_argument("--output", required=True)
    two.add_argument("--tracker", action="append", default=[])
    two.add_argument("--piece-length", type=int, default=0)
    two.add_argument("--format", choices=["v1", "hybrid"], default="v1")
    two.set_defaults(action=create)
    three = commands.add_parser("show")
    three.add_argument("--torrent", required=True)
    three.set_defaults(action=show)
    four = commands.add_parser("dht")
    four.add_argument("--listen", required=True)
    four.add_argument("--node", action="append", default=[])
    for action in ("announce", "peers", "put", "get", "put-key", "get-key"):
        four.add_argument("--" + action, action="append", default=[])
    four.set_defaults(action=dht)
    arguments = parser.parse_args()
    return arguments.action(arguments)


if __name__ == "__main__":
    sys.exit(main())
