// Puts the parts together.

import { burst } from "./burst.js";
import { Closing } from "./closing.js";
import { Costs } from "./costs.js";
import { $, make, say, still } from "./dom.js";
import { Field } from "./field.js";
import { Frames } from "./frames.js";
import { showHandshake } from "./handshake.js";
import { Messages } from "./messages.js";
import { Plot } from "./plot.js";
import { Talk, socketUrl } from "./talk.js";

const field = new Field($("field"));
const frames = new Frames();
const costs = new Costs();
const talk = new Talk(getUpdateData);
const messages = new Messages(talk);
const closing = new Closing(talk);

const times = new Plot($("plot-rtt"), { title: "Round trip, ms", unit: "milliseconds", digits: 2, least: 1 });
const rates = new Plot($("plot-rate"), { title: "Messages per second", unit: "a second", least: 20 });
const plotTime = times.line("round trip", true);
const plotIn = rates.line("to the page", true);
const plotOut = rates.line("from the page");

// Round trips.

let number = 0;
const sentAt = new Map();
const latest = [];

function getUpdateData() {
  const { x, y } = field.position;
  const update = JSON.stringify({ type: "update", n: ++number, x: Number(x.toFixed(4)), y: Number(y.toFixed(4)) });
  sentAt.set(number, performance.now());
  say($("latest-update"), update);
  return update;
}

function takeEcho({ n }) {
  const began = sentAt.get(n);
  if (began === undefined) return;
  sentAt.delete(n);
  const took = performance.now() - began;
  plotTime(took);
  latest.push(took);
  if (latest.length > 40) latest.shift();
}

// What the server says.

const RECEIVERS = {
  hello: (told) => {
    field.greet(told);
    closing.begin();
    showServer(told.server);
    watch(told.token);
  },
  echo: takeEcho,
  room: ({ visitors }) => field.show(visitors),
  post: (told) => messages.post(told),
  refused: ({ why }) => {
    talk.stay();
    messages.refuse(why);
  },
};

talk.addEventListener("message", ({ detail }) => RECEIVERS[detail.type]?.(detail));
talk.addEventListener("picture", ({ detail }) => messages.picture(detail));
talk.addEventListener("ended", ({ detail }) => {
  sentAt.clear();
  field.clear();
  closing.page(detail);
});
talk.addEventListener("state", ({ detail }) => showState(detail));

function watch(token) {
  const url = socketUrl("frames");
  url.searchParams.set("token", token);
  const watcher = new WebSocket(url);
  watcher.onmessage = ({ data }) => {
    const told = JSON.parse(data);
    if (told.type === "handshake") {
      frames.reset();
      showHandshake(told);
    } else if (told.type === "frames") {
      frames.add(told);
      costs.show(told.sums);
    } else if (told.type === "closed") {
      closing.server(told);
    }
  };
  costs.measure().catch(() => { /* the server is gone, which others say */ });
}

// The state, and opening it again.

const WORDS = {
  connecting: () => "Connecting",
  open: () => "Open",
  closed: ({ code }) => `Closed with ${code}`,
  waiting: ({ seconds }) => `Lost; again in ${seconds.toFixed(1)} s`,
};

function showState(detail) {
  const state = $("state");
  state.dataset.state = detail.state;
  say(state, WORDS[detail.state](detail));
  $("reconnect").hidden = detail.state === "open" || detail.state === "connecting";
}

$("reconnect").addEventListener("click", () => talk.open());
addEventListener("online", () => {
  if ($("state").dataset.state === "waiting") talk.open();
});

function showServer(facts) {
  const shown = {
    Engine: `fastframe ${facts.version}`,
    Backend: facts.backend,
    Kernel: `${facts.kernel} of ${facts.kernels.join(", ")}`,
    Deflate: facts.deflate,
    "Event loop": facts.loop,
    Python: facts.python,
    Machine: `${facts.system} ${facts.machine}`,
  };
  $("server").replaceChildren(...Object.entries(shown).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

// Ten thousand at once.

$("burst").addEventListener("click", async ({ target }) => {
  target.disabled = true;
  say($("burst-result"), "Under way …");
  say($("burst-result"), await burst(JSON.stringify({ type: "update", n: 1, x: 0.5, y: 0.5 })));
  target.disabled = false;
});

// The theme.

const root = document.documentElement;
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);
const showTheme = () => $("theme").setAttribute("aria-pressed", String(isDark()));
$("theme").addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch { /* then for this visit alone */ }
  showTheme();
});
prefersDark.addEventListener("change", showTheme);
showTheme();

// What moves.

let before = { at: performance.now(), sent: 0, received: 0 };

function measureRates() {
  const now = performance.now();
  const seconds = (now - before.at) / 1000;
  const [out, into] = [(talk.sent - before.sent) / seconds, (talk.received - before.received) / seconds];
  before = { at: now, sent: talk.sent, received: talk.received };
  plotOut(out, now);
  plotIn(into, now);
  const isOpen = $("state").dataset.state === "open";
  say($("rate-out"), isOpen ? out.toFixed(0) : "–");
  say($("rate-in"), isOpen ? into.toFixed(0) : "–");
  const middle = [...latest].sort((a, b) => a - b)[Math.floor(latest.length / 2)];
  say($("rtt"), isOpen && middle !== undefined ? middle.toFixed(middle < 10 ? 2 : 1) : "–");
}

function draw() {
  const now = performance.now();
  times.draw(now);
  rates.draw(now);
  field.draw();
}

function animate() {
  if (!still.matches) draw();
  requestAnimationFrame(animate);
}

setInterval(measureRates, 500);
setInterval(() => frames.draw(), 250);
setInterval(() => frames.study(), 1500);
setInterval(() => [times, rates].forEach((plot) => plot.describe()), 5000);
// With reduced motion it is redrawn, but nothing glides.
setInterval(() => { if (still.matches) draw(); }, 1000);
requestAnimationFrame(animate);

talk.open();
