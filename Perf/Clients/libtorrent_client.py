"""Drives libtorrent for the harness: one job a process, events as JSON lines on stdout.

    libtorrent_client.py JOB.json

The job names an `action` (download, seed, check, create, torrents, answering), `torrent` or `torrents`, `dir`, `port`,
`peers` ([[address, port], ...]) and `settings` ("defaults" or "tuned"). Every event carries the monotonic clock and
the CPU time used so far, so that the interpreter's own start is not charged to libtorrent. A seeding client stays
until stdin closes.
"""

import json
import os
import resource
import sys
import time

import libtorrent as lt

# What every run has in common: plain TCP on the given addresses, and no way to find anybody else.
ALONE = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "out_enc_policy": 2,  # pe_disabled: no key exchange tried on the way to a plain connection
    "in_enc_policy": 1,
    "connections_limit": 20000,
    # Beyond this many alerts are dropped, and with them the word that a torrent was added.
    "alert_queue_size": 100000,
    "alert_mask": lt.alert.category_t.status_notification
    | lt.alert.category_t.error_notification
    | lt.alert.category_t.storage_notification,
}

SETTINGS = {
    "defaults": {},
    # What an expert would set for one fast torrent: more hashing, deeper queues, larger socket buffers.
    "tuned": {
        "hashing_threads": 2,
        "aio_threads": 4,
        "max_queued_disk_bytes": 64 << 20,
        "max_out_request_queue": 1000,
        "recv_socket_buffer_size": 1 << 20,
        "send_socket_buffer_size": 1 << 20,
        "send_buffer_watermark": 4 << 20,
        "send_buffer_low_watermark": 256 << 10,
        "send_buffer_watermark_factor": 150,
        "unchoke_slots_limit": -1,
        "active_seeds": -1,
        "active_limit": -1,
        "active_checking": 4,
        "listen_queue_size": 1000,
        "connection_speed": 500,
    },
}


def say(event, **more):
    usage = resource.getrusage(resource.RUSAGE_SELF)
    more.update(event=event, at=time.monotonic(), user=usage.ru_utime, system=usage.ru_stime)
    print(json.dumps(more), flush=True)


def session(job):
    settings = dict(ALONE)
    settings.update(SETTINGS[job.get("settings", "defaults")])
    settings["listen_interfaces"] = f"0.0.0.0:{job['port']}"
    if job["action"] in ("seed", "torrents"):
        settings["active_seeds"] = settings["active_limit"] = -1
        settings["unchoke_slots_limit"] = -1
    if job["action"] == "torrents":
        settings["connection_speed"] = 10
    return lt.session(settings)


def wait_for(ses, handle, done, interval=0.02):
    """Waits for a state of the torrent, woken by alerts rather than by polling alone."""
    while True:
        status = handle.status()
        if status.errc.value() != 0:
            say("failed", reason=status.errc.message())
            sys.exit(1)
        if done(status):
            return
        ses.wait_for_alert(int(interval * 1000))
        ses.pop_alerts()


def add(ses, job, flags=0):
    parameters = lt.add_torrent_params()
    parameters.ti = lt.torrent_info(job["torrent"])
    parameters.save_path = job["dir"]
    parameters.trackers = []
    parameters.flags = (parameters.flags & ~lt.torrent_flags.auto_managed & ~lt.torrent_flags.paused) | flags
    return ses.add_torrent(parameters)


def stay():
    while sys.stdin.readline():
        pass


def download(job):
    ses = session(job)
    say("ready")
    handle = add(ses, job)
    for address, port in job.get("peers", []):
        handle.connect_peer((address, port))
    wait_for(ses, handle, lambda status: status.is_seeding)
    say("complete")
    if job.get("stays"):
        stay()
    handle.flush_cache()
    del handle, ses
    say("closed")


def seed(job):
    ses = session(job)
    say("ready")
    handle = add(ses, job)
    wait_for(ses, handle, lambda status: status.is_seeding)
    say("complete")
    stay()
    say("closed")


def check(job):
    ses = session(job)
    say("ready")
    handle = add(ses, job, lt.torrent_flags.stop_when_ready)
    wait_for(ses, handle, lambda status: status.is_seeding or status.state == lt.torrent_status.finished)
    say("complete", done=handle.status().total_wanted_done)


def create(job):
    say("ready")
    files = lt.file_storage()
    lt.add_files(files, job["data"])
    torrent = lt.create_torrent(files, job["piece"], lt.create_torrent.v1_only)
    lt.set_piece_hashes(torrent, os.path.dirname(job["data"]))
    with open(job["out"], "wb") as out:
        out.write(lt.bencode(torrent.generate()))
    say("complete")


def rss():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def torrents(job):
    """Adds many small complete torrents, first with a check, then again from resume data, and idles."""
    ses = session(job)
    resumes = []
    for path in job["torrents"]:
        parameters = lt.add_torrent_params()
        parameters.ti = lt.torrent_info(path)
        parameters.save_path = job["dir"]
        parameters.flags = (
            parameters.flags & ~lt.torrent_flags.auto_managed & ~lt.torrent_flags.paused
        ) | lt.torrent_flags.seed_mode
        parameters.trackers = []
        resumes.append(lt.write_resume_data_buf(parameters))
    del parameters
    say("ready", rss=rss())
    for resume in resumes:
        ses.async_add_torrent(lt.read_resume_data(resume))
    added = 0
    while added < len(resumes):
        ses.wait_for_alert(100)
        added += sum(isinstance(alert, lt.add_torrent_alert) for alert in ses.pop_alerts())
    say("complete", rss=rss())
    stay()
    say("closed", rss=rss())


def answering(job):
    """A node of the DHT whose limits are off: it answers until stdin closes."""
    settings = dict(ALONE)
    settings.update(
        {
            "enable_dht": True,
            "listen_interfaces": f"{job['address']}:{job['port']}",
            "dht_bootstrap_nodes": job["node"],
            "dht_upload_rate_limit": 1 << 30,
            "dht_block_ratelimit": 1 << 24,
            # Those who ask are neighbours by their addresses.
            "dht_restrict_routing_ips": False,
            "dht_restrict_search_ips": False,
            "alert_mask": lt.alert.category_t.error_notification,
        }
    )
    ses = lt.session(settings)
    address, port = job["node"].split(":")
    ses.add_dht_node((address, int(port)))
    say("ready")
    stay()
    say("closed")


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        wanted = json.load(file)
    actions = {
        "download": download,
        "seed": seed,
        "check": check,
        "create": create,
        "torrents": torrents,
        "answering": answering,
    }
    actions[wanted["action"]](wanted)
    # Skips the interpreter's teardown: it is no part of what is measured.
    sys.stdout.flush()
    os._exit(0)
