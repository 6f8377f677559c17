"""Switches that make the stand-in fail as K3s has been seen to fail: a JSON object in <data-dir>/trouble.json, read
each time one of them matters. README.md lists them.

A number counts down, one a time that it strikes; true strikes every time; what is missing does not strike."""
import json
import os
import threading
from pathlib import Path

LOCK = threading.Lock()


class Trouble:
    """The switches of one server."""

    def __init__(self, data_dir):
        self.path = Path(data_dir) / "trouble.json"

    def _read(self):
        try:
            return json.loads(self.path.read_text())
        except FileNotFoundError:
            return {}

    def value(self, name, default=None):
        """The switch as it stands, without counting."""
        return self._read().get(name, default)

    def strikes(self, name):
        """True when this time it strikes; counts a number down."""
        with LOCK:
            switches = self._read()
            value = switches.get(name)
            if value is True or isinstance(value, str):
                return True
            if not isinstance(value, (int, float)) or value <= 0:
                return False
            switches[name] = value - 1
            self._write(switches)
            return True

    def strikes_once(self, name):
        """True when it is on; it is off then, whatever it was."""
        with LOCK:
            switches = self._read()
            if not switches.pop(name, None):
                return False
            self._write(switches)
            return True

    def _write(self, switches):
        temporary = self.path.with_name(".trouble.json")
        temporary.write_text(json.dumps(switches) + "\n")
        os.replace(temporary, self.path)
