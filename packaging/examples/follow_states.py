#!/usr/bin/python3
"""Follows virtsentry's states of all running domains of a libvirt host, and prints each change as a line of JSON.

This is what an agent of OpenStack, oVirt or of your own does: it needs libvirt and nothing of virtsentry. It asks for METADATA_CHANGE events,
reads the state element, and says what may be believed of it. A domain's UUID is Nova's instance UUID and oVirt's VM ID.

Debian: apt-get install python3-libvirt. A read-only connection is enough, so it needs no rights but access to libvirt's read-only socket.
"""

import argparse
import datetime
import json
import queue
import signal
import sys
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree

import libvirt

STATE_URI = "http://virtsentry.org/xmlns/state/1"

# What each value means to an agent. Later versions may add values: one that is not in here is NOT_SEEN, never OK.
OK, WATCH, ALARM, NOT_JUDGED, NOT_SEEN, OFF = "ok", "watch", "alarm", "not-judged", "not-seen", "off"
MEANINGS = {
    "normal": OK,
    "suspect": WATCH,
    "anomalous": ALARM,
    "starting": NOT_JUDGED,
    "learning": NOT_JUDGED,
    "unknown": NOT_SEEN,
    "blind": NOT_SEEN,
    "paused": OFF,
    "disabled": OFF,
}

# Elements by which a manager of domains shows itself: whoever defined the domain, and whose it is.
MANAGERS = {
    "http://openstack.org/xmlns/libvirt/nova/1.1": "nova",
    "http://openstack.org/xmlns/libvirt/nova/1.0": "nova",
    "http://ovirt.org/vm/1.0": "ovirt",
}

RETRY_FIRST, RETRY_MOST = 1.0, 30.0  # seconds between tries to connect
GONE = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID)


class Garbled(Exception):
    """The element is none that virtsentry writes."""


class Broken(Exception):
    """The connection to libvirt has ended."""


def moment(text):
    """A time of the element, which is always UTC: seconds since the epoch."""
    if not text.endswith("Z"):
        raise ValueError(f"not in UTC: {text[:40]!r}")
    return datetime.datetime.fromisoformat(text[:-1] + "+00:00").timestamp()


def parse(text):
    """The state element as libvirt hands it out: its names are in no namespace then. What is not known is passed over."""
    if "<!DOCTYPE" in text:
        raise Garbled("a document type is not allowed")
    try:
        root = ElementTree.fromstring(text)
        state = {
            "value": root.attrib["value"],
            "since": root.attrib["since"],
            "valid_until": root.attrib.get("valid-until"),
            "host": root.attrib.get("host", ""),
            "boot_id": root.attrib.get("boot-id", ""),
            "coverage": root.attrib.get("coverage", "unknown"),
            "unseen": [dict(d.attrib, why=d.text or "") for d in root.findall("unseen/device")],
            "incidents": [dict(i.attrib, text=i.text or "") for i in root.findall("incident")],
            "features": [dict(f.attrib, text=f.text or "") for f in root.findall("explanation/feature")],
        }
        reason = root.find("reason")
        if reason is not None:
            state["reason"] = {"code": reason.attrib["code"], "text": reason.text or ""}
        unit = root.find("unit")
        if unit is not None:
            state["score"], state["p_value"] = float(unit.attrib["score"]), float(unit.attrib["p-value"])
        state["expires"] = moment(state["valid_until"]) if state["valid_until"] else None
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise Garbled(str(error)) from error
    return state


def same_host(a, b):
    """Hosts may name themselves with or without their domain."""
    a, b = a.lower(), b.lower()
    return a == b or a.split(".")[0] == b.split(".")[0] and ("." not in a or "." not in b)


def doubt(state, now, host, boot_id):
    """Why a state says nothing of the domain now; None: it may be believed."""
    if state["expires"] is not None and now >= state["expires"]:
        return "expired"  # whoever wrote it has not renewed it
    if state["host"] and host and not same_host(state["host"], host):
        return "other-host"  # the domain has migrated and brought it along
    if state["boot_id"] and boot_id and state["boot_id"] != boot_id:
        return "other-boot"  # it came with the definition from before the host's reboot
    return None


def verdict(state, now, host, boot_id):
    """What an agent is to think of a domain, and why not what the value says."""
    if state is None:
        return NOT_SEEN, "no-state"
    if "value" not in state:
        return NOT_SEEN, "garbled"
    why = doubt(state, now, host, boot_id)
    if why is not None:
        return NOT_SEEN, why
    meaning = MEANINGS.get(state["value"], NOT_SEEN)
    if meaning == OK and state["coverage"] != "full":
        return OK, "partly-unseen"  # it holds for the devices that are seen
    return meaning, None


class Follower:
    """Follows one libvirt daemon, through its restarts. All of libvirt's callbacks only put something into the queue."""

    def __init__(self, uri, say):
        self.uri, self.say = uri, say
        self.queue = queue.Queue()
        self.conn, self.callbacks = None, []
        self.host, self.boot_id = "", ""
        self.known = {}  # by UUID: name, state, and what was said last

    def connect(self):
        """Registers for events before it reads, so that nothing falls between the two."""
        conn = libvirt.openReadOnly(self.uri)
        try:
            conn.setKeepAlive(5, 3)  # a daemon that hangs is noticed, too
        except libvirt.libvirtError:
            pass  # the test driver has no wire
        try:
            conn.registerCloseCallback(lambda *_: self.queue.put(("closed", conn)), None)
        except libvirt.libvirtError:
            pass
        self.conn = conn
        self.callbacks = [
            conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, self.on_metadata, None),
            conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self.on_lifecycle, None),
        ]
        self.host = conn.getHostname()
        self.boot_id = ""
        if not urllib.parse.urlparse(self.uri).hostname:  # of another host, this one's would say nothing
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
                self.boot_id = file.read().strip()
        self.say({"event": "connected", "host": self.host})
        running = {dom.UUIDString() for dom in conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)}
        for uuid in set(self.known) - running:
            self.gone(uuid)
        for uuid in running:
            self.look(uuid)

    def disconnect(self):
        conn, self.conn = self.conn, None
        if conn is None:
            return
        for step in [lambda c=c: conn.domainEventDeregisterAny(c) for c in self.callbacks] + [conn.unregisterCloseCallback, conn.close]:
            try:
                step()
            except libvirt.libvirtError:
                pass  # nothing is left to take leave of
        self.callbacks = []

    def on_metadata(self, _conn, dom, kind, uri, _opaque):
        if kind == libvirt.VIR_DOMAIN_METADATA_ELEMENT and uri == STATE_URI:
            self.queue.put(("look", dom.UUIDString()))

    def on_lifecycle(self, _conn, dom, event, _detail, _opaque):
        if event in (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_RESUMED):
            self.queue.put(("look", dom.UUIDString()))  # an event is a hint: what is true is read

    def look(self, uuid):
        """Reads what libvirt shows of a domain now."""
        try:
            dom = self.conn.lookupByUUIDString(uuid)
            name = dom.name()
            try:
                state = parse(dom.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, STATE_URI, libvirt.VIR_DOMAIN_AFFECT_LIVE))
            except Garbled as error:
                state = {"garbled": str(error)}
        except libvirt.libvirtError as error:
            if error.get_error_code() in GONE:
                self.gone(uuid)
                return
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN_METADATA:
                raise
            state = None
        before = self.known.get(uuid, {})
        self.known[uuid] = {"name": name, "state": state, "said": before.get("said"), "owner": before.get("owner") or self.owner(dom)}
        self.tell(uuid)

    def owner(self, dom):
        """Who manages the domain, and of which project it is where Nova says so."""
        for uri, manager in MANAGERS.items():
            try:
                text = dom.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, uri, libvirt.VIR_DOMAIN_AFFECT_LIVE)
                project = ElementTree.fromstring(text).find("owner/project")
            except (libvirt.libvirtError, ElementTree.ParseError):
                continue
            owner = {"manager": manager}
            if project is not None:
                owner["project"] = {"id": project.attrib.get("uuid", ""), "name": project.text or ""}
            return owner
        return None

    def gone(self, uuid):
        domain = self.known.pop(uuid, None)
        if domain is not None:
            self.say({"event": "gone", "uuid": uuid, "name": domain["name"]})

    def tell(self, uuid):
        """Says what is to be thought of a domain, if that has changed."""
        domain = self.known[uuid]
        state = domain["state"]
        meaning, why = verdict(state, time.time(), self.host, self.boot_id)
        news = {"event": "state", "uuid": uuid, "name": domain["name"], "verdict": meaning, "why": why, "owner": domain["owner"]}
        news.update({key: value for key, value in (state or {}).items() if key not in ("expires", "valid_until", "boot_id")})
        if news != domain["said"]:
            domain["said"] = news
            self.say(dict(news, valid_until=(state or {}).get("valid_until")))

    def wait(self):
        """Seconds until the next state expires; None: none does."""
        now = time.time()
        ends = [d["state"]["expires"] for d in self.known.values() if d["state"] and d["state"].get("expires")]
        ahead = [end - now for end in ends if end > now]
        return min(ahead) + 0.01 if ahead else None

    def follow(self, stopped):
        """Follows until stopped is set."""
        retry = RETRY_FIRST
        while not stopped.is_set():
            try:
                if self.conn is None:
                    self.connect()
                    retry = RETRY_FIRST
                self.step()
            except (libvirt.libvirtError, Broken) as error:
                self.disconnect()
                self.say({"event": "disconnected", "error": str(error)})
                for uuid in self.known:  # what was said stays true for as long as it was said to
                    self.tell(uuid)
                stopped.wait(retry)
                retry = min(2 * retry, RETRY_MOST)
        self.disconnect()

    def step(self):
        """Handles what comes next: an event, or the end of a state's validity."""
        try:
            what, which = self.queue.get(timeout=min(self.wait() or 1.0, 1.0))
        except queue.Empty:
            for uuid in self.known:
                self.tell(uuid)
            return
        if what == "look":
            self.look(which)
        elif which is self.conn:
            raise Broken("the connection to libvirt has broken")


def run_events():
    """Runs libvirt's event loop for ever. It must be registered before the first connection is opened."""
    libvirt.virEventRegisterDefaultImpl()
    libvirt.virEventAddTimeout(1000, lambda *_: None, None)  # it may sleep for ever otherwise

    def loop():
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=loop, daemon=True, name="libvirt events").start()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uri", default="qemu:///system", help="of the libvirt daemon (default: %(default)s)")
    parser.add_argument("--once", action="store_true", help="say what is true now, and end")
    args = parser.parse_args()
    libvirt.registerErrorHandler(lambda *_: None, None)  # errors are exceptions; nothing else is printed

    def say(news):
        stamp = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        print(json.dumps({"time": stamp, **news}), flush=True)

    run_events()
    follower = Follower(args.uri, say)
    if args.once:
        try:
            follower.connect()
        except libvirt.libvirtError as error:
            sys.exit(f"follow_states: {args.uri}: {error}")
        follower.disconnect()
        return
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    follower.follow(stopped)


if __name__ == "__main__":
    main()
