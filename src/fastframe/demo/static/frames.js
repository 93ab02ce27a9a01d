// The frames of this page's WebSocket, as the server tells of them over another one.

import { $, bytes, count, make, say } from "./dom.js";
import { ascii, fromHex, hex, mask, parseHeader } from "./header.js";

const KEPT = 400;
const ROWS = 12;
const SHOWN = 16;

export class Frames {
  #frames = [];
  #shown = [];
  #chosen = null;
  #isPaused = false;
  #rows = [];
  #seen = 0;
  #way = "out";
  #skipped = 0;

  constructor() {
    for (let i = 0; i < ROWS; i++) {
      const cells = Array.from({ length: 6 }, () => make("span"));
      const button = make("button", { type: "button" }, ...cells);
      button.addEventListener("click", () => this.#choose(this.#shown[i]));
      this.#rows.push({ button, cells, item: make("li", { hidden: true }, button) });
    }
    $("frame-list").append(...this.#rows.map(({ item }) => item));
    $("pause").addEventListener("click", () => this.#pause(!this.#isPaused));
    $("filter").addEventListener("change", () => this.#render());
    this.#anatomy(null);
  }

  reset() {
    this.#frames = [];
    this.#seen = this.#skipped = 0;
    this.#pause(false);
  }

  add({ frames, skipped }) {
    this.#seen += frames.length + skipped;
    this.#skipped += skipped;
    for (const frame of frames) {
      const header = parseHeader(fromHex(frame.header));
      this.#frames.unshift({ ...frame, ...header, payload: fromHex(frame.payload), bytes: fromHex(frame.header) });
    }
    this.#frames.length = Math.min(this.#frames.length, KEPT);
  }

  /** Called a few times a second: faster, nobody could read it. */
  draw() {
    if (!this.#isPaused) this.#render();
  }

  /** Called more seldom still. */
  study() {
    if (this.#isPaused || !this.#shown.length) return;
    // Now one of the page's, which is masked, now one of the server's.
    this.#way = this.#way === "in" ? "out" : "in";
    this.#anatomy(this.#shown.find(({ way }) => way === this.#way) ?? this.#shown[0]);
  }

  #pause(isPaused) {
    this.#isPaused = isPaused;
    $("pause").setAttribute("aria-pressed", String(isPaused));
    say($("pause"), isPaused ? "Go on" : "Pause");
    if (!isPaused) this.#chosen = null;
    this.#render();
  }

  #choose(frame) {
    this.#chosen = frame;
    this.#pause(true);
    this.#anatomy(frame);
  }

  #passes(frame) {
    const filter = $("filter").value;
    if (filter === "control") return frame.opcode >= 8;
    if (filter === "other") return frame.opcode !== 1 || !/"type":"(update|echo|room)"/.test(ascii(mask(frame.payload, frame.key))) && !frame.rsv1;
    return filter === "all" || filter === frame.way;
  }

  #render() {
    this.#shown = this.#frames.filter((frame) => this.#passes(frame)).slice(0, ROWS);
    this.#rows.forEach(({ button, cells, item }, i) => {
      const frame = this.#shown[i];
      item.hidden = !frame;
      if (!frame) return;
      const payload = mask(frame.payload, frame.key);
      const bits = [frame.fin && "FIN", frame.rsv1 && "RSV1", frame.masked && "MASK"].filter(Boolean).join(" ");
      const from = frame.way === "in" ? "↑" : "↓";
      const text = frame.rsv1 ? `${Array.from(payload.slice(0, 12), hex).join(" ")} …` : ascii(payload);
      [from, frame.ms.toFixed(1), frame.name, bits, bytes(frame.length), text].forEach((value, at) => say(cells[at], value));
      button.setAttribute("aria-pressed", String(frame === this.#chosen));
      button.setAttribute("aria-label", `${frame.way === "in" ? "From the page" : "From the server"}, ${frame.name}, ${frame.length} bytes`);
      button.dataset.way = frame.way;
    });
    const missed = this.#skipped ? `, ${count(this.#skipped)} of them not shown` : "";
    say($("frame-counts"), this.#seen ? `${count(this.#seen)} so far${missed}` : "");
  }

  #anatomy(frame) {
    if (!frame) {
      $("anatomy").replaceChildren(make("p", { className: "small" }, "Waiting for the first frame."));
      return;
    }
    const key = frame.key ? [field("Masking key", frame.key, "", "key")] : [];
    const long = frame.extended.length ? [field("Extended payload length", frame.extended, `= ${count(frame.length)}`)] : [];
    $("anatomy").replaceChildren(
      make("p", { className: "anatomy-title" }, make("strong", {}, frame.name), frame.way === "in" ? " from the page" : " from the server", make("span", {}, `${frame.bytes.length} B header + ${bytes(frame.length)}`)),
      bitsOf(frame),
      ...long,
      ...key,
      payloadOf(frame),
    );
  }
}

function bitsOf(frame) {
  const opcode = frame.opcode.toString(2).padStart(4, "0");
  const length = frame.short.toString(2).padStart(7, "0");
  const cell = (name, bits, note, isSet) => make("div", { className: isSet ? "bit set" : "bit", "data-bits": String(bits.length) }, make("b", {}, bits), make("span", {}, name), make("i", {}, note));
  return make("div", { className: "bits" },
    cell("FIN", String(frame.fin), "", frame.fin), cell("RSV1", String(frame.rsv1), "", frame.rsv1),
    cell("RSV2", String(frame.rsv2), "", frame.rsv2), cell("RSV3", String(frame.rsv3), "", frame.rsv3),
    cell("Opcode", opcode, `0x${frame.opcode.toString(16)}`, true),
    cell("MASK", frame.masked ? "1" : "0", "", frame.masked),
    cell("Payload length", length, frame.short > 125 ? `${frame.short}: more follows` : `${frame.short}`, true));
}

function field(name, values, note, kind = "") {
  return make("div", { className: "wire" }, make("span", {}, name), make("code", { className: kind }, Array.from(values, hex).join(" ")), make("small", {}, note));
}

function payloadOf(frame) {
  const start = frame.payload.slice(0, SHOWN);
  const plain = mask(start, frame.key);
  const row = (name, values, className = "") => make("tr", { className }, make("th", { scope: "row" }, name), ...values.map((value) => make("td", {}, value)));
  const rows = [];
  if (frame.key) {
    rows.push(row("on the wire", Array.from(start, hex)));
    rows.push(row("xor key", Array.from(start, (_, i) => hex(frame.key[i % 4])), "key"));
  }
  rows.push(row("payload", Array.from(plain, hex), "plain"), row("", [...ascii(plain)], "letters"));
  const rest = frame.length - start.length;
  const notes = [];
  if (frame.rsv1) notes.push("RSV1: the payload is DEFLATE data (RFC 7692), no text.");
  else if (frame.way === "out") notes.push("A server does not mask.");
  if (rest > 0) notes.push(`${bytes(rest)} more follow.`);
  return make("div", { className: "payload" },
    start.length ? make("table", {}, make("tbody", {}, ...rows)) : make("p", { className: "small" }, "No payload."),
    make("p", { className: "small" }, notes.join(" ")));
}
