"""Tests follow_states.py on libvirt's test driver, which gives real events and metadata within one process."""

import datetime
import threading
import time
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import libvirt

import follow_states
from follow_states import MEANINGS, STATE_URI, Follower, Garbled, parse, same_host, verdict

SCHEMA = Path(__file__).parent.parent / "schemas" / "state-1.rng"
EXAMPLE = Path(__file__).parent.parent / "schemas" / "examples" / "state-1.xml"
URI = "test:///default"


def stamp(seconds_ahead):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds_ahead)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def element(value="normal", ahead=600.0, host="", boot_id="", coverage="full"):
    return (
        f'<state value="{value}" since="{stamp(-5)}" updated="{stamp(-1)}" valid-until="{stamp(ahead)}" host="{host}" boot-id="{boot_id}"'
        f' coverage="{coverage}"><reason code="anomaly">words</reason><added-later/></state>'
    )


class Reading(unittest.TestCase):
    def test_vocabulary_is_that_of_the_schema(self):
        space = {"r": "http://relaxng.org/ns/structure/1.0"}
        start = ElementTree.parse(SCHEMA).getroot().find("r:start/r:element/r:attribute[@name='value']/r:choice", space)
        self.assertEqual({v.text for v in start.findall("r:value", space)}, set(MEANINGS))

    def test_published_example(self):
        state = parse(EXAMPLE.read_text(encoding="utf-8"))
        self.assertEqual(state["value"], "anomalous")
        self.assertEqual([i["kind"] for i in state["incidents"]], ["anomaly", "drift"])
        self.assertEqual(state["unseen"][0]["name"], "vnet1")
        self.assertEqual(state["features"][0]["observed"], "2000")

    def test_verdicts(self):
        now = time.time()
        for text, host, boot, want in [
            (element("normal"), "a", "b", ("ok", None)),
            (element("normal", coverage="partial"), "a", "b", ("ok", "partly-unseen")),
            (element("anomalous", host="a", boot_id="b"), "A", "b", ("alarm", None)),
            (element("suspect"), "a", "b", ("watch", None)),
            (element("learning"), "a", "b", ("not-judged", None)),
            (element("blind"), "a", "b", ("not-seen", None)),
            (element("disabled"), "a", "b", ("off", None)),
            (element("of-a-later-version"), "a", "b", ("not-seen", None)),
            (element("normal", ahead=-1), "a", "b", ("not-seen", "expired")),
            (element("normal", host="a"), "c", "b", ("not-seen", "other-host")),
            (element("normal", boot_id="b"), "a", "c", ("not-seen", "other-boot")),
            (element("normal", boot_id="b"), "a", "", ("ok", None)),
        ]:
            with self.subTest(text=text, host=host, boot=boot):
                self.assertEqual(verdict(parse(text), now, host, boot), want)
        self.assertEqual(verdict(None, now, "a", "b"), ("not-seen", "no-state"))
        self.assertEqual(verdict({"garbled": "x"}, now, "a", "b"), ("not-seen", "garbled"))

    def test_garbled(self):
        for text in ["", "<state/>", "<state value='normal'/>", "<state", element().replace("Z", ""), "<!DOCTYPE a []>" + element()]:
            with self.subTest(text=text), self.assertRaises(Garbled):
                parse(text)

    def test_hosts(self):
        for a, b, same in [("h", "h", True), ("h", "H.example.org", True), ("h.a", "h.b", False), ("h", "g", False), ("h.a", "h.a", True), ("h.a", "g", False)]:
            self.assertEqual(same_host(a, b), same, (a, b))


class Following(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        libvirt.registerErrorHandler(lambda *_: None, None)
        follow_states.run_events()

    def setUp(self):
        self.conn = libvirt.open(URI)
        self.dom = self.conn.listAllDomains()[0]
        self.news, self.stopped = [], threading.Event()
        self.follower = Follower(URI, self.news.append)
        self.thread = threading.Thread(target=self.follower.follow, args=(self.stopped,))
        self.thread.start()

    def tearDown(self):
        self.stopped.set()
        self.thread.join()
        self.conn.close()

    def put(self, text, key="virtsentry", uri=STATE_URI):
        self.dom.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, text, key, uri, libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def hear(self, **want):
        """Waits for news that has all this, after what was heard before."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            while self.news:
                news = self.news.pop(0)
                if all(news.get(key) == value for key, value in want.items()):
                    return news
            time.sleep(0.02)
        self.fail(f"not heard: {want}")
        return None

    def test_life_of_a_state(self):
        self.put('<instance><owner><project uuid="p1">shop</project></owner></instance>', "nova", "http://openstack.org/xmlns/libvirt/nova/1.1")
        self.hear(event="connected")
        self.hear(event="state", verdict="not-seen", why="no-state")
        self.put(element("normal"))
        self.hear(verdict="ok", why=None)
        self.put(element("anomalous", ahead=2))
        self.assertEqual(self.hear(verdict="alarm", value="anomalous")["reason"]["code"], "anomaly")
        self.hear(verdict="not-seen", why="expired")  # of itself
        self.put(element("anomalous"))
        self.hear(verdict="alarm")
        self.put("<state><broken/></state>")
        self.hear(verdict="not-seen", why="garbled")
        self.put(None)
        self.hear(verdict="not-seen", why="no-state")
        self.dom.destroy()
        self.hear(event="gone", uuid=self.dom.UUIDString())
        self.dom.create()
        self.put(element("normal", host="elsewhere.example.org"))
        self.assertEqual(self.hear(verdict="not-seen", why="other-host")["owner"], None)


if __name__ == "__main__":
    unittest.main()
