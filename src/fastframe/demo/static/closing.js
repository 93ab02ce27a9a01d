// Closing with a code and a reason, and what each side saw of it.

import { $, make, say } from "./dom.js";

const CODES = [
  [1000, "normal closure", "it has done what it was for"],
  [1001, "going away", "a server goes down, or a page is left"],
  [1008, "policy violation", "it broke a rule of the application"],
  [1011, "internal error", "the server met something that it did not expect"],
  [1012, "service restart", "come back in a moment"],
  [1013, "try again later", "the server is overloaded"],
  [3000, "registered", "for libraries and frameworks, registered with IANA"],
  [4000, "private", "for the application itself: 4000 to 4999"],
];

// The browser lets a page send these alone (WebSockets Standard, close()).
const isForPages = (code) => code === 1000 || code >= 3000;

export class Closing {
  #hasServerTold = false;

  constructor(talk) {
    const who = $("close-who");
    const code = $("close-code");
    const list = () => {
      const possible = CODES.filter(([number]) => who.value === "server" || isForPages(number));
      code.replaceChildren(...possible.map(([number, name]) => make("option", { value: String(number) }, `${number} ${name}`)));
      explain();
    };
    const explain = () => {
      const [, , meaning] = CODES.find(([number]) => number === Number(code.value));
      const rule = who.value === "page" ? " A page may send 1000 and 3000 to 4999 alone." : "";
      say($("close-meaning"), `${code.value}: ${meaning}.${rule}`);
    };
    who.addEventListener("change", list);
    code.addEventListener("change", explain);
    list();
    $("close-form").addEventListener("submit", (event) => {
      event.preventDefault();
      talk.end(Number(code.value), $("close-reason").value, who.value === "server");
    });
  }

  /** Another connection is open; how the last one ended stays until this one does. */
  begin() {
    this.#hasServerTold = false;
  }

  /** What the close event of the page says. */
  page({ code, reason, wasClean }) {
    say($("page-code"), String(code));
    say($("page-reason"), reason);
    say($("page-clean"), wasClean ? "clean" : "not clean");
    // The two sockets end in any order, and a server that is gone tells nothing.
    if (this.#hasServerTold) return;
    for (const side of ["received", "sent"]) this.#row(side, undefined, "");
  }

  /** What the server tells, over the other socket. */
  server({ received, sent, received_first: receivedFirst }) {
    this.#hasServerTold = true;
    const order = (isFirst) => (receivedFirst === null ? "" : isFirst ? "first" : "then");
    this.#row("received", received, order(receivedFirst));
    this.#row("sent", sent, order(!receivedFirst));
  }

  #row(side, frame, order) {
    say($(`${side}-code`), frame === undefined ? "…" : frame ? String(frame.code ?? "none") : "no frame");
    say($(`${side}-reason`), frame?.reason ?? "");
    say($(`${side}-order`), order);
  }
}
