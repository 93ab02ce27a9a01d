// What is sent to everybody, and what comes: text, JSON, XML, HTML and pictures.

import { $, bytes, make, say } from "./dom.js";

const KEPT = 30;
const LARGEST = 16 * 1024 * 1024;

const SAMPLES = {
  text: "Hello from this tab. Grüße, 世界 🦊",
  json: '{"instrument": "XAU", "bid": 2412.35, "ask": 2412.6, "open": true}',
  xml: '<?xml version="1.0"?>\n<order id="7"><item sku="A-113" count="2"/></order>',
  html: "<h1>Hello</h1>\n<p>In a <em>sandbox</em>, where <script>alert(1)<\/script> does nothing.</p>",
};

export class Messages {
  #talk;

  constructor(talk) {
    this.#talk = talk;
    const form = $("composer");
    $("text").value = SAMPLES.text;
    form.addEventListener("change", ({ target }) => {
      if (target.name === "format") this.#offerSample(target.value);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send(() => talk.send({ type: "post", format: form.elements.format.value, text: $("text").value }));
    });
    $("painting").addEventListener("click", () => this.#send(() => talk.send({ type: "picture" })));
    $("picture").addEventListener("change", ({ target }) => {
      this.#sendPicture(target.files[0]);
      target.value = "";
    });
    document.addEventListener("paste", (event) => this.#take(event, event.clipboardData));
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => this.#take(event, event.dataTransfer));
  }

  refuse(why) {
    say($("notice"), `The server refused: ${why}.`);
  }

  post({ from, format, text }) {
    const size = new TextEncoder().encode(text).length;
    this.#add(from, `${format === "text" ? "text" : format.toUpperCase()}, ${bytes(size)}`, shown(format, text));
  }

  picture({ caption, blob }) {
    // What kind it is the server has said, and the browser looks for itself.
    const url = URL.createObjectURL(new Blob([blob], { type: caption.kind }));
    const image = make("img", { src: url, alt: `A picture from ${caption.from}` });
    image.addEventListener("error", () => image.replaceWith(make("p", { className: "small" }, "The browser cannot show this picture.")));
    this.#add(caption.from, `${caption.kind.slice(6).toUpperCase()}, binary, ${bytes(blob.size)}`, image, url);
  }

  #add(from, kind, body, url = "") {
    const feed = $("feed");
    const time = new Date().toLocaleTimeString("en", { hour12: false });
    const entry = make("article", { className: "entry" }, make("header", {}, make("strong", {}, from), make("span", {}, kind), make("time", {}, time)), body);
    entry.dataset.url = url;
    feed.prepend(entry);
    while (feed.children.length > KEPT) {
      const oldest = feed.lastElementChild;
      if (oldest.dataset.url) URL.revokeObjectURL(oldest.dataset.url);
      oldest.remove();
    }
  }

  #offerSample(format) {
    const text = $("text");
    if (!text.value || Object.values(SAMPLES).includes(text.value)) text.value = SAMPLES[format];
  }

  #send(send) {
    say($("notice"), send() ? "Sent." : "Not sent: there is no connection.");
  }

  #take(event, transfer) {
    const file = [...(transfer?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (!file) return;
    event.preventDefault();
    this.#sendPicture(file);
  }

  #sendPicture(file) {
    if (!file) return;
    if (file.size > LARGEST) {
      say($("notice"), `That picture has ${bytes(file.size)}; ${bytes(LARGEST)} is the most.`);
      return;
    }
    this.#send(() => this.#talk.send(file));
  }
}

function shown(format, text) {
  if (format === "json") return code(prettyJson(text));
  if (format === "xml") return code(prettyXml(text));
  if (format === "html") return sandbox(text);
  return make("p", { className: "text" }, text);
}

const code = (text) => make("pre", {}, text);

// Indented, a text that is nothing but depth becomes thousands of times as long.
const MAX_DEPTH = 50;

function isDeeper(value, depth) {
  if (typeof value !== "object" || value === null) return false;
  return depth === 0 || Object.values(value).some((inner) => isDeeper(inner, depth - 1));
}

const isNested = (element, depth) => [...element.children].some((child) => depth === 0 || isNested(child, depth - 1));

function prettyJson(text) {
  try {
    const value = JSON.parse(text);
    return isDeeper(value, MAX_DEPTH) ? text : JSON.stringify(value, null, 2);
  } catch {
    return text;
  }
}

function prettyXml(text) {
  const parsed = new DOMParser().parseFromString(text, "application/xml");
  if (parsed.querySelector("parsererror") || isNested(parsed.documentElement, MAX_DEPTH)) return text;
  return outline(parsed.documentElement, "");
}

function outline(element, indent) {
  const attributes = [...element.attributes].map(({ name, value }) => ` ${name}="${value}"`).join("");
  const inside = [...element.childNodes].filter((node) => node.nodeType === 1 || node.textContent.trim());
  if (!inside.length) return `${indent}<${element.tagName}${attributes}/>`;
  if (inside.every((node) => node.nodeType !== 1)) return `${indent}<${element.tagName}${attributes}>${element.textContent.trim()}</${element.tagName}>`;
  const nested = inside.map((node) => (node.nodeType === 1 ? outline(node, `${indent}  `) : `${indent}  ${node.textContent.trim()}`));
  return [`${indent}<${element.tagName}${attributes}>`, ...nested, `${indent}</${element.tagName}>`].join("\n");
}

function sandbox(text) {
  // No permission at all: an origin of its own, no scripts, no forms, no links out; and this page's policy on top.
  const frame = make("iframe", { title: "HTML, in a sandbox" });
  frame.setAttribute("sandbox", "");
  frame.srcdoc = `<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="${new URL("document.css", location.href)}">${text}`;
  return frame;
}
