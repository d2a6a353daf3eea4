"""What a browser sends of a page that somebody has opened and not touched."""

from html.parser import HTMLParser

UNSENT = ("submit", "button", "file", "checkbox", "radio")  # unless they are checked


class FormReader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.sent: dict[str, list[str]] = {}
        self.inside = self.text = self.select = None

    def send(self, name, value):
        if name and name != "csrfmiddlewaretoken":
            self.sent.setdefault(name, []).append(value)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form":
            self.inside = attrs.get("method") == "post" and attrs.get("id", "").endswith(("_form", "-form"))
        elif not self.inside:
            return
        elif tag == "textarea":
            self.text = (attrs["name"], "")
        elif tag == "select":
            self.select = {"name": attrs.get("name"), "is_multiple": "multiple" in attrs, "options": []}
        elif tag == "option":
            self.select["options"].append((attrs.get("value", ""), "selected" in attrs))
        elif tag == "input" and (attrs.get("type") not in UNSENT or "checked" in attrs):
            self.send(attrs.get("name"), attrs.get("value", "on" if "checked" in attrs else ""))

    def handle_data(self, data):
        if self.text:
            self.text = (self.text[0], self.text[1] + data)

    def handle_endtag(self, tag):
        if tag == "form":
            self.inside = False
        elif tag == "textarea" and self.text:
            self.send(self.text[0], self.text[1].removeprefix("\n"))
            self.text = None
        elif tag == "select" and self.select:
            chosen = [value for value, is_chosen in self.select["options"] if is_chosen]
            if not chosen and not self.select["is_multiple"]:
                chosen = [value for value, _ in self.select["options"][:1]]
            for value in chosen:
                self.send(self.select["name"], value)
            self.select = None


def as_seen(page) -> dict[str, list[str]]:
    """The fields of an admin's form with what stands in them."""
    reader = FormReader()
    reader.feed(page.content.decode())
    return reader.sent
