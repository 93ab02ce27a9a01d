// Framing overhead beside what the same updates would take as HTTP requests.

import { $, bytes, count, say } from "./dom.js";

export class Costs {
  #heads = null;

  /** Makes one real request and takes its measure, both ways. */
  async measure() {
    const answer = await fetch("poll", { cache: "no-store" });
    let response = `HTTP/1.1 ${answer.status} ${answer.statusText}\r\n\r\n`.length;
    for (const [name, value] of answer.headers) response += `${name}: ${value}\r\n`.length;
    this.#heads = { request: (await answer.json()).request, response };
  }

  /** `sums` are the server's, of both directions. */
  show(sums) {
    if (!this.#heads) return;
    const { request, response } = this.#heads;
    const updates = sums.in.frames;
    const framing = sums.in.header + sums.out.header;
    const polling = updates * (request + response);
    say($("ws-bytes"), bytes(framing));
    say($("http-bytes"), bytes(polling));
    $("ws-bar").style.width = `${Math.max((100 * framing) / polling, 0.3)}%`;
    $("http-bar").style.width = "100%";
    say($("cost-verdict"), `${count(polling / framing)} times as much, before the first byte of content.`);
    say($("cost-formula"), `${count(updates)} frames from the page and ${count(sums.out.frames)} from the server have ${bytes(framing)} of headers, ${((framing / (updates + sums.out.frames)) || 0).toFixed(1)} B each. As requests: ${count(updates)} × (${count(request)} B request head + ${count(response)} B response head), with what the server pushes riding on the responses. Content, TCP and TLS are left out of both.`);
  }
}
