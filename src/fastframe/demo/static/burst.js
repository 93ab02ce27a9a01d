// Ten thousand updates at once, on a socket of their own which nobody watches.

import { count } from "./dom.js";
import { socketUrl } from "./talk.js";

const MESSAGES = 10_000;

export function burst(message) {
  return new Promise((resolve) => {
    const socket = new WebSocket(socketUrl("echo"), "echo");
    let back = 0;
    let began = 0;
    socket.onopen = () => {
      began = performance.now();
      for (let i = 0; i < MESSAGES; i++) socket.send(message);
    };
    socket.onmessage = () => {
      back += 1;
      if (back < MESSAGES) return;
      const seconds = (performance.now() - began) / 1000;
      socket.close(1000, "all are back");
      resolve(`${count(MESSAGES)} were back after ${count(seconds * 1000)} ms: ${count(MESSAGES / seconds)} a second, this page’s own work included.`);
    };
    socket.onclose = () => resolve("The connection was lost before all were back.");
  });
}
