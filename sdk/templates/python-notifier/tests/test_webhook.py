"""What is sent and understood, in plain Python: `python3 -m unittest discover tests`."""

import json
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import webhook
from webhook import Refused


class Webhook(unittest.TestCase):
    def refuses(self, kind: str, call, *arguments) -> Refused:
        with self.assertRaises(Refused) as caught:
            call(*arguments)
        self.assertEqual(caught.exception.kind, kind)
        return caught.exception

    def test_an_address_is_taken_apart(self) -> None:
        self.assertEqual(webhook.address("https://h.example:8443/in?a=b", False), ("https", "h.example:8443", "/in?a=b"))
        self.assertEqual(webhook.address("https://h.example", False), ("https", "h.example", "/"))
        self.assertEqual(webhook.address("http://localhost:1/x", True), ("http", "localhost:1", "/x"))
        for url in ["", "h.example", "ftp://h/", "https://", "https://me:pw@h/", "https://h:port/", "https://h/#x", "http://h/"]:
            self.refuses("invalid-config", webhook.address, url, False)

    def test_a_message_is_json_with_its_facts_as_an_object(self) -> None:
        sent = json.loads(webhook.body("run.failed", "critical", 7, "Não deu", 'linha\n"dois"', '{"set": "a"}', "x-1"))
        self.assertEqual(sent["facts"], {"set": "a"})
        self.assertEqual((sent["subject"], sent["text"], sent["id"]), ("Não deu", 'linha\n"dois"', "x-1"))

    def test_an_answer_has_the_kind_that_the_host_acts_on(self) -> None:
        webhook.accepted(200, None)
        webhook.accepted(204, None)
        for status, kind in [(301, "other"), (400, "other"), (401, "access-denied"), (404, "not-found"), (503, "unavailable")]:
            self.refuses(kind, webhook.accepted, status, None)
        self.assertEqual(self.refuses("rate-limited", webhook.accepted, 429, "7").wait_ms, 7_000)
        self.assertIsNone(self.refuses("rate-limited", webhook.accepted, 429, "Wed, 21 Oct 2015 07:28:00 GMT").wait_ms)


if __name__ == "__main__":
    unittest.main()
