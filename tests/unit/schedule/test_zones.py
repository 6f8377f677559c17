"""Offsets and windows against Python's zoneinfo, which reads the same files with code of its own."""
import bisect
import datetime
import subprocess
import sys
import unittest
import zoneinfo

PROBE = sys.argv.pop(1)
UTC = datetime.timezone.utc
STEP = 17 * 60

# Zone, and the year from which on three years are looked at: rules of both halves of the earth, half-hours, a
# summer that is winter's negative, changes on Fridays, a day that was left out, tables that end early or late.
ZONES = [
    ("UTC", 2026), ("Europe/Berlin", 2026), ("Europe/Berlin", 2060), ("America/New_York", 2026),
    ("America/Sao_Paulo", 2017), ("Europe/Dublin", 2026), ("Asia/Kolkata", 2026), ("Asia/Tehran", 2021),
    ("Australia/Lord_Howe", 2026), ("Australia/Sydney", 2040), ("Pacific/Chatham", 2026),
    ("Pacific/Apia", 2010), ("America/Nuuk", 2022), ("Asia/Gaza", 2026), ("Africa/Casablanca", 2026),
    ("America/St_Johns", 2026), ("America/Caracas", 2015), ("Europe/London", 1970), ("Asia/Kathmandu", 1985),
]
WINDOWS = [
    ("daily", "02:00", "05:00"), ("sun", "02:30", "04:00"), ("daily", "23:00", "03:00"),
    ("sat,sun", "00:00", "24:00"), ("mon,thu", "22:15", "02:15"), ("daily", "01:30", "02:20"),
    ("sun", "02:10", "02:50"),
]
WINDOW_ZONES = [("Europe/Berlin", 2026), ("America/New_York", 2027), ("Australia/Lord_Howe", 2026),
                ("Pacific/Apia", 2010), ("Europe/Dublin", 2026), ("America/Nuuk", 2023)]


def seconds(year):
    return int(datetime.datetime(year, 1, 1, tzinfo=UTC).timestamp())


def zone_of(name):
    return UTC if name == "UTC" else zoneinfo.ZoneInfo(name)


def offset(zone, at):
    return int(datetime.datetime.fromtimestamp(at, zone).utcoffset().total_seconds())


def probe(*arguments):
    out = subprocess.run([PROBE, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True).stdout
    return out.splitlines()


def instant(zone, local):
    """The first instant at which the clocks show `local` or later; local: a datetime without a zone."""
    wanted = int(local.replace(tzinfo=UTC).timestamp())
    first = local.replace(tzinfo=zone, fold=0)
    at = int(first.timestamp())
    if at + offset(zone, at) == wanted:
        return at
    low, high = wanted - 30 * 3600, wanted + 30 * 3600  # left out: where the offset changes
    before = offset(zone, at - 26 * 3600)
    low = at - 26 * 3600
    while high - low > 1:
        middle = (low + high) // 2
        if offset(zone, middle) == before and middle + before < wanted:
            low = middle
        else:
            high = middle
    return high


def spans(zone, days, begin, end, year):
    """All [open, close) of three years, and some around them."""
    names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    wanted = set(names if days == "daily" else days.split(","))
    hours = [int(t[:2]) * 60 + int(t[3:]) for t in (begin, end)]
    found = []
    day = datetime.datetime(year, 1, 1) - datetime.timedelta(days=3)
    while day < datetime.datetime(year + 3, 1, 1) + datetime.timedelta(days=20):
        if names[day.weekday()] in wanted:
            last = day + datetime.timedelta(days=1 if hours[1] <= hours[0] else 0)
            opens = instant(zone, day + datetime.timedelta(minutes=hours[0]))
            closes = instant(zone, last + datetime.timedelta(minutes=hours[1]))
            if closes > opens:
                found.append([opens, closes])
        day += datetime.timedelta(days=1)
    found.sort()
    merged = []
    for opens, closes in found:
        if merged and opens <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], closes)
        else:
            merged.append([opens, closes])
    return merged


class ZonesTest(unittest.TestCase):
    def test_offsets(self):
        for name, year in ZONES:
            with self.subTest(zone=name, year=year):
                zone, begin, end = zone_of(name), seconds(year), seconds(year + 3)
                ours = probe("zone", name, begin, end, STEP)
                theirs = [str(offset(zone, at)) for at in range(begin, end, STEP)]
                self.assertGreater(len(theirs), 90000)
                self.assertEqual(ours, theirs)

    def test_windows(self):
        for name, year in WINDOW_ZONES:
            for days, start, stop in WINDOWS:
                with self.subTest(zone=name, days=days, start=start):
                    self.check_window(name, year, days, start, stop)

    def check_window(self, name, year, days, start, stop):
        begin, end = seconds(year), seconds(year + 3)
        known = spans(zone_of(name), days, start, stop, year)
        closes = [s[1] for s in known]
        ours = probe("window", days, start, stop, name, begin, end, STEP)
        self.assertEqual(len(ours), len(range(begin, end, STEP)))
        for line, at in zip(ours, range(begin, end, STEP)):
            span = known[bisect.bisect_right(closes, at)]
            wanted = f"{int(span[0] <= at)} {span[0]} {span[1]}"
            if line != wanted:
                self.fail(f"{days} {start}-{stop} {name} at {at}: {line}, not {wanted}")


if __name__ == "__main__":
    unittest.main()
