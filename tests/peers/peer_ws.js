// https://www.npmjs.com/package/ws: run_peer.py says what this process does.
// Usage: node peer_ws.js FOLDER, which has node_modules.
"use strict";

const readline = require("node:readline");
const { WebSocket, WebSocketServer } = require(require.resolve("ws", { paths: [process.argv[2]] }));
const { behave } = require("./behaviour.js");

const LIFETIME = 600_000; // milliseconds
const OPTIONS = { maxPayload: 64 * 1024 * 1024, perMessageDeflate: true };

function tell(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

function powersOf(socket) {
  return {
    ping(payload, whenAnswered) {
      socket.once("pong", (data) => {
        if (data.toString() === payload) {
          whenAnswered();
        }
      });
      socket.ping(payload);
    },
    sendFragments(payload, isText, count) {
      const end = (number) => Math.floor((payload.length * number) / count);
      for (let number = 1; number <= count; number += 1) {
        const piece = payload.subarray(end(number - 1), end(number));
        socket.send(piece, { binary: !isText, fin: number === count });
      }
    },
  };
}

function talk(socket) {
  behave(socket, powersOf(socket)).then(tell, (error) => tell({ failed: String(error.stack) }));
}

setTimeout(() => process.exit(1), LIFETIME).unref();
const server = new WebSocketServer({
  ...OPTIONS,
  handleProtocols: (offered) => (offered.has("superchat") ? "superchat" : false),
  host: "127.0.0.1",
  port: 0,
});
server.on("connection", talk);
server.on("listening", () => tell({ port: server.address().port }));
readline.createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { uri, subprotocols } = JSON.parse(line);
    talk(new WebSocket(uri, subprotocols, OPTIONS));
  })
  .on("close", () => process.exit(0));
