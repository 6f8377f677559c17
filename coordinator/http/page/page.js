/* Shows the coordinator's document (docs/page.md) as it comes. Every text goes through textContent: no name of a
 * server, a key or a person is ever read as HTML. */
"use strict";

const SILENT_MS = 30000; // beats come every 15 s
const $ = (id) => document.getElementById(id);
let state = null;        // the newest document
let offset = 0;          // the coordinator's clock less ours
let heard = 0;           // when something last came, by our clock
let lost = false;        // the stream is down

// ---------- texts ----------

const now = () => Date.now() + offset;
const count = (n) => Number(n).toLocaleString("en-US");
const clock = (ms) => ms > 0 ? new Date(ms).toISOString().slice(0, 19).replace("T", " ") : "";

function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const units = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
  const i = units.findIndex(([, size]) => s >= 2 * size);
  const [unit, size] = units[i < 0 ? 3 : i];
  return `${Math.floor(s / size)}${unit}`;
}

const age = (ms) => ms > 0 ? `${span(now() - ms)} ago` : "";

// ---------- elements ----------

/* Changes what is otherwise alone: a screen reader's place and a selection stay where they are. */
function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

function show(element, value) {
  element.hidden = !value;
  text(element, value || "");
}

function mark(element, name) {
  if (element.className !== name) element.className = name;
}

/* Makes the children of `parent` one for each item, and keeps those that are there. */
function each(parent, items, make, fill) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  while (parent.children.length < items.length) parent.append(make());
  items.forEach((item, i) => fill(parent.children[i], item));
}

/* cells: [text, class]; the one at `head` is the row's header. */
function rows(id, head, items, cells) {
  const table = $(id), labels = [...table.tHead.rows[0].cells].map((c) => c.textContent);
  const make = () => {
    const row = document.createElement("tr");
    row.setAttribute("role", "row");
    labels.forEach((label, i) => {
      const cell = document.createElement(i === head ? "th" : "td");
      cell.setAttribute("role", i === head ? "rowheader" : "cell");
      if (i === head) cell.scope = "row";
      else cell.dataset.label = label;
      row.append(cell);
    });
    return row;
  };
  each(table.tBodies[0], items, make, (row, item) => {
    const [name, ...texts] = cells(item);
    mark(row, name);
    texts.forEach(([value, look], i) => {
      text(row.cells[i], value);
      mark(row.cells[i], look || "");
    });
  });
}

// ---------- parts ----------

function facts(s) {
  const asked = s.servers.filter((v) => v.inspec && v.apiserver);
  const list = [
    ["Stage", s.stage],
    ["Configs", s.match ? "all hashes match" : s.mismatch || "not known", s.match ? "good" : "bad"],
    ["Leader", s.leader || "none", s.leader ? "" : "bad"],
    ["Servers ready", `${asked.filter((v) => v.ready).length} of ${asked.length}`],
  ];
  if (s.nextrotation) list.push(["Next rotation", `${s.nextrotation.when}, ${s.nextrotation.reason}`]);
  each($("facts"), list, () => {
    const pair = document.createElement("div");
    pair.append(document.createElement("dt"), document.createElement("dd"));
    return pair;
  }, (pair, [name, value, look]) => {
    text(pair.children[0], name);
    text(pair.children[1], value);
    mark(pair.children[1], look || "");
  });
}

function notes(s) {
  const list = s.servers.filter((v) => v.odd).map((v) => `${v.name} is the odd one out: ${v.oddwhy}`);
  if (s.lock) list.push(`Locked by ${s.lock.holder}${s.lock.reason ? `: ${s.lock.reason}` : ""}`);
  if (s.unknown) list.push(`Unknown API server: ${s.unknown}`);
  if (s.blocked) list.push(`A rotation could not start now: ${s.blocked}`);
  if (s.nextrotation && s.nextrotation.held) list.push(`The scheduled rotation is held: ${s.nextrotation.held}`);
  $("notes").hidden = list.length === 0;
  each($("notes"), list, () => document.createElement("li"), text);
}

/* The one line that is read out when it changes. */
function headline(o) {
  if (!o) return "None has run yet.";
  if (o.state === "finished") return `${o.kind} finished at ${clock(o.ended)} UTC.`;
  if (o.state === "halted") return `${o.kind} is halted at ${o.phase}: ${o.why}`;
  return `${o.kind} ${o.state}, step ${o.step} of ${o.steps}: ${o.doing}`;
}

function operation(o) {
  text($("operation"), headline(o));
  mark($("operation"), o && o.state === "halted" ? "bad" : "");
  const waits = o && o.state !== "finished" && o.state !== "halted" && o.why;
  show($("waits"), waits ? `Waits${o.on ? ` on ${o.on}` : ""}: ${o.why} (rule ${o.row}, for ${span(now() - o.rowsince)})` : "");
  each($("timeline"), o ? o.timeline : [], () => document.createElement("li"), (item, step) => {
    text(item, step.state === "next" ? step.word : `${step.word}: ${step.state}`);
    mark(item, step.state);
    item.title = step.claim;
    item.dataset.phase = step.phase;
    if (step.state === "now") item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  });
}

function reencrypt(r, o) {
  const ours = r && o && r.operation === o.id && r.state !== "idle";
  $("reencrypt").hidden = !ours;
  if (!ours) return;
  $("progress").max = Math.max(1, r.total);
  $("progress").value = Math.min(r.done, r.total);
  const parts = [`${r.state}: ${count(r.done)} of ${count(r.total)} objects`];
  if (r.state === "running") parts.push(`${count(r.rate)} a second`);
  if (r.left !== undefined) parts.push(`about ${span(r.left)} left`);
  if (r.failed) parts.push(`${count(r.failed)} failed`);
  if (r.heldby && r.state === "running") parts.push(`held by ${r.heldby}`);
  if (r.scanvalues !== undefined) parts.push(`counted: ${count(r.scanvalues)} values, ${count(r.scanstale)} under another key, ${count(r.scanplain)} plain`);
  if (r.why) parts.push(r.why);
  text($("progress-text"), parts.join(" · "));
}

function health(v) {
  if (!v.inspec) return ["not in the list", "warn"];
  if (!v.reports) return ["silent", "bad"];
  if (!v.apiserver) return ["reports", "good"];
  return v.ready ? ["ready", "good"] : ["not ready", "bad"];
}

function remarks(v) {
  const list = [];
  if (v.odd) list.push(`odd one out: ${v.oddwhy}`);
  if (v.why && v.why !== v.oddwhy) list.push(v.why);
  if (v.order && v.orderstate !== "done") list.push(`order ${v.order}: ${v.orderstate}`);
  return list.join("; ");
}

function servers(s) {
  const order = s.servers.map((v, i) => [v, i]);
  rows("servers", 1, order, ([v, i]) => [v.odd ? "odd" : "",
    [v.inspec ? String(i + 1) : ""], [v.name], health(v), [v.stage || ""], [v.hash ? v.hash.slice(0, 12) : "", "mono"],
    [v.reports ? `${v.generation}${v.loadedgeneration === v.generation ? "" : `, loaded ${v.loadedgeneration || "?"}`}` : ""],
    [age(v.time), "time"], [v.reports ? String(v.restarts) : ""], [remarks(v), v.odd ? "bad" : ""]]);
  order.forEach(([v], i) => {
    $("servers").tBodies[0].rows[i].dataset.server = v.name;
    $("servers").tBodies[0].rows[i].cells[4].title = v.hash || "";
  });
}

function keys(list) {
  const sorted = [...list].sort((a, b) => ["active", "readable", "retired"].indexOf(a.state) - ["active", "readable", "retired"].indexOf(b.state));
  rows("keys", 0, sorted, (k) => ["", [k.name], [k.provider], [k.state, k.state === "active" ? "good" : ""],
    [k.created ? span(now() - k.created) : "not known", "time"], [k.values === undefined ? "" : count(k.values)]]);
}

function audit(s) {
  show($("audit-why"), s.auditwhy ? `The trail could not be read: ${s.auditwhy}` : "");
  rows("audit", 0, s.audit, (e) => [e.authentic ? "" : "odd", [e.authentic ? clock(e.time) : e.name, "time"],
    [e.authentic ? e.who : "not authentic", e.authentic ? "" : "bad"], [e.authentic ? `${e.call}: ${e.what}` : ""], [e.result || ""], [e.why]]);
}

// ---------- the whole ----------

function staleness() {
  const silent = heard > 0 && Date.now() - heard >= SILENT_MS;
  let why = "";
  if (lost || silent) why = heard ? `No word from the coordinator for ${span(Date.now() - heard)}. What is shown is as it was then.` : "The coordinator does not answer.";
  else if (state && state.stale) why = `What is shown is as it was at ${clock(state.time)} UTC: ${state.stale}`;
  show($("stale"), why);
  mark(document.body, why ? "old" : "");
  text($("seen"), state ? `by ${state.server} (${state.version}), as of ${clock(state.time)} UTC` : "Waiting for the coordinator.");
}

function draw() {
  staleness();
  if (!state) return;
  text($("cluster"), state.cluster);
  document.title = `${state.servers.some((v) => v.odd) ? "(!) " : ""}${state.cluster}: ${state.stage}`;
  document.body.dataset.revision = state.revision;
  facts(state);
  notes(state);
  operation(state.operation);
  reencrypt(state.reencrypt, state.operation);
  servers(state);
  keys(state.keys);
  audit(state);
}

function hear(serverTime) {
  heard = Date.now();
  lost = false;
  if (serverTime > 0) offset = serverTime - heard;
}

function open() {
  const stream = new EventSource("/events");
  stream.addEventListener("state", (e) => {
    const next = JSON.parse(e.data);
    hear(next.stale ? 0 : next.time);
    state = next;
    draw();
  });
  stream.addEventListener("beat", (e) => {
    hear(Number(e.data));
    draw();
  });
  stream.addEventListener("error", () => {
    lost = true;
    staleness();
    if (stream.readyState === EventSource.CLOSED) setTimeout(open, 3000);
  });
}

open();
setInterval(draw, 1000);
