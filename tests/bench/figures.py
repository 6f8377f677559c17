"""Figures: medians of several runs with their least and greatest, as a table and as JSON."""
import statistics
import time


class Figure:
    """One number, measured several times."""

    def __init__(self, unit):
        self.unit, self.values = unit, []

    def add(self, value):
        self.values.append(value)

    @property
    def median(self):
        return statistics.median(self.values) if self.values else None

    def json(self):
        if not self.values:
            return None
        return {"median": self.median, "min": min(self.values), "max": max(self.values), "runs": len(self.values),
                "unit": self.unit}


def short(value):
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


class Report:
    """What a run found. A row stands in a section and on a cluster ("3 etcd, 3 API servers")."""

    def __init__(self):
        self.rows, self.order, self.wrong, self.notes = {}, [], [], []
        self.started = time.time()

    def figure(self, section, where, name, unit):
        key = (section, where, name)
        if key not in self.rows:
            self.rows[key] = Figure(unit)
            self.order.append(key)
        return self.rows[key]

    def add(self, section, where, name, unit, value):
        if value is not None:
            self.figure(section, where, name, unit).add(value)

    def median(self, section, where, name):
        found = self.rows.get((section, where, name))
        return found.median if found else None

    def ratio(self, section, where, name, above, below):
        """One figure from two medians."""
        a, b = self.median(section, where, above), self.median(section, where, below)
        if a is not None and b:
            self.add(section, where, name, "", a / b)

    def note(self, text):
        self.notes.append(text)

    def table(self):
        head = ("section", "cluster", "figure", "median", "min", "max", "runs", "unit")
        lines = [head]
        for section, where, name in self.order:
            f = self.rows[section, where, name]
            if f.values:
                lines.append((section, where, name, short(f.median), short(min(f.values)), short(max(f.values)),
                              str(len(f.values)), f.unit))
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        right = {3, 4, 5, 6}
        text = [" ".join(c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths))).rstrip()
                for line in lines]
        text.insert(1, "-" * len(text[0]))
        return "\n".join(text + [f"note: {note}" for note in self.notes] + [f"WRONG: {w}" for w in self.wrong])

    def json(self):
        sections = {}
        for section, where, name in self.order:
            value = self.rows[section, where, name].json()
            if value:
                sections.setdefault(section, {}).setdefault(where, {})[name] = value
        return {"sections": sections, "notes": self.notes, "wrong": self.wrong,
                "seconds": round(time.time() - self.started, 1)}
