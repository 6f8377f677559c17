"""YAML as manifests have it, for the stand-in of kubelet: block and flow collections, plain and quoted scalars of one
line, comments. Anything else (anchors, tags, block scalars, several documents) is a Broken manifest."""
import json
import re

KEY = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s'"\[\]{},#&*!|>%@`-][^#]*?|-[^\s#][^#]*?)\s*:(?:\s+|$)""")


class Broken(Exception):
    """The text is no manifest that kubelet would run; says where and why."""


def _plain(text):
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    if text[0] in "&*!|>%@`":
        raise Broken(f"not understood: {text[:40]}")
    return text


class _Flow:
    """A value in one line, from a place on: returns (value, place after it)."""

    def __init__(self, text):
        self.text = text

    def blanks(self, at):
        while at < len(self.text) and self.text[at] in " \t":
            at += 1
        return at

    def value(self, at, ends):
        at = self.blanks(at)
        first = self.text[at:at + 1]
        if first == "[":
            return self.items(at + 1, "]", lambda at: self.value(at, ",]"), list)
        if first == "{":
            return self.items(at + 1, "}", self.member, dict)
        if first == '"':
            end = re.compile(r'"(?:[^"\\]|\\.)*"').match(self.text, at)
            if not end:
                raise Broken("a quote that does not end")
            return json.loads(end.group()), end.end()
        if first == "'":
            end = re.compile(r"'(?:[^']|'')*'").match(self.text, at)
            if not end:
                raise Broken("a quote that does not end")
            return end.group()[1:-1].replace("''", "'"), end.end()
        end = at
        while end < len(self.text) and self.text[end] not in ends and self.text[end:end + 2] not in (": ", " #"):
            end += 1
        return _plain(self.text[at:end].strip()), end

    def member(self, at):
        key, at = self.value(at, ":,}")
        at = self.blanks(at)
        if self.text[at:at + 1] != ":":
            raise Broken("a key without a value")
        value, at = self.value(at + 1, ",}")
        return (key, value), at

    def items(self, at, close, read, kind):
        found = []
        while True:
            at = self.blanks(at)
            if self.text[at:at + 1] == close:
                return kind(found), at + 1
            item, at = read(at)
            found.append(item)
            at = self.blanks(at)
            if self.text[at:at + 1] == ",":
                at += 1
            elif self.text[at:at + 1] != close:
                raise Broken(f"no {close} where one is due")


def _inline(text):
    flow = _Flow(text)
    value, at = flow.value(0, "")
    rest = text[at:].strip()
    if rest and not rest.startswith("#"):
        raise Broken(f"not understood: {rest[:40]}")
    return value


class _Block:
    """Lines as (indent, text) from a place on."""

    def __init__(self, text):
        self.lines, self.at = [], 0
        for line in text.splitlines():
            body = line.strip()
            if not body or body.startswith("#"):
                continue
            if "\t" in line[:len(line) - len(line.lstrip())]:
                raise Broken("a tab in the indentation")
            if body in ("---", "..."):
                if self.lines and body == "---":
                    raise Broken("more than one document")
                continue
            self.lines.append((len(line) - len(line.lstrip(" ")), body))

    def here(self):
        return self.lines[self.at] if self.at < len(self.lines) else (-1, "")

    def node(self, indent):
        if self.here()[1] == "-" or self.here()[1].startswith("- "):
            return self.sequence(indent)
        if KEY.match(self.here()[1]):
            return self.mapping(indent)
        self.at += 1
        return _inline(self.lines[self.at - 1][1])

    def sequence(self, indent):
        found = []
        while self.here()[0] == indent and (self.here()[1] == "-" or self.here()[1].startswith("- ")):
            rest = self.here()[1][1:]
            inner = indent + 1 + len(rest) - len(rest.lstrip())
            if rest.strip():
                self.lines[self.at] = (inner, rest.strip())
                found.append(self.node(inner))
            else:
                self.at += 1
                found.append(self.below(indent, False))
        return found

    def mapping(self, indent):
        found = {}
        while self.here()[0] == indent:
            match = KEY.match(self.here()[1])
            if not match:
                raise Broken(f"no key: {self.here()[1][:40]}")
            key, rest = _inline(match.group(1)), self.here()[1][match.end():]
            if key in found:
                raise Broken(f"{key} stands there twice")
            self.at += 1
            found[key] = _inline(rest) if rest and not rest.startswith("#") else self.below(indent, True)
        return found

    def below(self, indent, dashes):
        """What stands under a key or a lone dash: deeper, or (under a key) a list as deep as the key."""
        deep, text = self.here()
        if deep > indent or (dashes and deep == indent and (text == "-" or text.startswith("- "))):
            return self.node(deep)
        return None


def parse(text):
    """The manifest as Python's dicts and lists."""
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError as error:
            raise Broken(str(error)) from None
    block = _Block(text)
    if not block.lines:
        raise Broken("empty")
    found = block.node(block.lines[0][0])
    if block.at < len(block.lines):
        raise Broken(f"not understood: {block.here()[1][:40]}")
    return found


def check(pod):
    """What kubelet's validation would refuse, as far as labs come near it."""
    try:
        if (pod["apiVersion"], pod["kind"]) != ("v1", "Pod") or not pod["metadata"]["name"]:
            raise Broken("not a Pod of apiVersion v1 with a name")
        volumes = {v["name"]: v for v in pod["spec"].get("volumes") or []}
        if len(volumes) != len(pod["spec"].get("volumes") or []):
            raise Broken("two volumes of one name")
        container, = pod["spec"]["containers"]
        mounts = container.get("volumeMounts") or []
        if len({m["mountPath"] for m in mounts}) != len(mounts):
            raise Broken("two mounts at one path")
        missing = [m["name"] for m in mounts if m["name"] not in volumes]
        if missing:
            raise Broken(f"no volume {missing[0]}")
        words = (container.get("command") or []) + (container.get("args") or [])
        if not words or not all(isinstance(w, str) for w in words):
            raise Broken("no command, or one that is no list of strings")
        annotations = pod["metadata"].get("annotations") or {}
        if not all(isinstance(v, str) for v in annotations.values()):
            raise Broken("an annotation that is no string")
        return pod
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Broken(f"not a Pod that can be run: {type(error).__name__} {error}") from None
