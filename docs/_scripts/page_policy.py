"""The content security policy of a page, and what on the page it would stop."""

from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

DATA_BLOCKS = {"application/json", "application/ld+json"}


class PolicyReader(HTMLParser):
    """Note what on a page the policy would stop, and whether there is a policy."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = ""
        self.found: list[str] = []
        self.inline = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        for name, value in attributes:
            if name.startswith("on"):
                self.found.append(f"a handler in an attribute: {name}={value!r}")
            if name in ("href", "action") and (value or "").lower().startswith("javascript:"):
                self.found.append(f"a script in an address: {value!r}")
        if (values.get("http-equiv") or "").lower() == "content-security-policy":
            self.policy = values.get("content") or ""
        elif tag == "style":
            self.found.append("a style element")
        elif tag == "script":
            self.inline = "src" not in values and values.get("type") not in DATA_BLOCKS
            if not self.policy and self.inline:
                self.found.append("an inline script before the policy")

    def handle_data(self, data: str) -> None:
        if self.inline:
            digest = b64encode(sha256(data.encode()).digest()).decode()
            if f"'sha256-{digest}'" not in self.policy:
                self.found.append(f"an inline script that the policy stops: {data.strip()[:60]}")

    def handle_endtag(self, tag: str) -> None:
        self.inline = self.inline and tag != "script"


def read_page(text: str) -> list[str]:
    """Say what is wrong with the policy of a page, and with what it would stop."""
    reader = PolicyReader()
    reader.feed(text)
    if "refresh" in text and "<body" not in text:  # a page that has moved
        return reader.found
    if "default-src 'none'" not in reader.policy:
        reader.found.append("no content security policy that begins with nothing")
    if others := [word for word in reader.policy.split() if "://" in word or "*" in word]:
        reader.found.append(f"the policy allows other hosts: {' '.join(others)}")
    return reader.found
