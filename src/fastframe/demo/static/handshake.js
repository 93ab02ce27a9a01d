// The opening handshake, and the one computation in it.

import { $, make } from "./dom.js";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const OURS = /^(upgrade|connection|origin|host|sec-websocket-.*)$/i;

const MEANINGS = {
  "permessage-deflate": "messages are compressed (RFC 7692)",
  server_no_context_takeover: "the server starts each message afresh",
  client_no_context_takeover: "the page starts each message afresh",
  server_max_window_bits: "the server looks back 2ⁿ bytes at most",
  client_max_window_bits: "the page looks back 2ⁿ bytes at most",
};

export async function showHandshake(told) {
  $("request").replaceChildren(...lines(told.request));
  $("response").replaceChildren(...lines(told.response));
  $("subprotocols").replaceChildren(...told.offered.map((name) => choice(name, told.chosen)));
  $("extensions").replaceChildren(...extensions(told.extensions));
  $("accept").replaceChildren(...(await computed(told.key, told.accept)));
}

function lines(all) {
  return all.map((line, i) => {
    const colon = line.indexOf(":");
    if (i === 0 || colon < 0) return make("span", { className: "line first" }, line);
    const name = line.slice(0, colon);
    return make("span", { className: OURS.test(name) ? "line ours" : "line" }, make("b", {}, `${name}:`), line.slice(colon + 1));
  });
}

function choice(name, chosen) {
  const [className, note] = name === chosen ? ["chosen", "chosen: the first of the server’s that was offered"] : name.endsWith(".v2") ? ["", "offered first; this server does not speak it"] : ["", "offered too"];
  return make("li", { className }, make("code", {}, name), make("span", {}, note));
}

function extensions(agreed) {
  if (!agreed) return [make("dt", {}, "none"), make("dd", {}, "This browser offers none that the server has.")];
  return agreed.split(";").flatMap((part) => {
    const [name] = part.trim().split("=");
    return [make("dt", {}, make("code", {}, part.trim())), make("dd", {}, MEANINGS[name] ?? "")];
  });
}

async function computed(key, accept) {
  // Only pages from https: and from this machine are given this.
  const subtle = globalThis.crypto?.subtle;
  const steps = [["Key", key, "16 random bytes of the browser, in Base64"], ["+ GUID", GUID, "the same for everybody"]];
  if (subtle) {
    const digest = new Uint8Array(await subtle.digest("SHA-1", new TextEncoder().encode(key + GUID)));
    const hexadecimal = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    const base64 = btoa(String.fromCharCode(...digest));
    steps.push(["SHA-1", hexadecimal, "of both, computed by this page"]);
    steps.push(["Base64", base64, base64 === accept ? "✓ is what the server answered" : "✗ is not what the server answered"]);
  } else {
    steps.push(["Accept", accept, "SHA-1 of both in Base64; this page is not allowed to compute it over plain http"]);
  }
  return steps.flatMap(([name, value, note]) => [make("dt", {}, name), make("dd", {}, make("code", {}, value), make("small", {}, note))]);
}
