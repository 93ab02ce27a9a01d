// What behaviour.py says of peers, for sockets with the browser's interface.
// What the interface lacks comes in `powers`: sendFragments(data, isText, count), ping(payload, whenAnswered).
"use strict";

// eslint-disable-next-line no-unused-vars
function behave(socket, powers) {
  const utf8 = new TextEncoder();
  let pieces = 1;
  let farewell = null;
  let received = 0;
  let listening = false;

  function obey(order) {
    if (order.order === "split") {
      pieces = order.pieces;
    } else if (order.order === "listen") {
      listening = true;
    } else if (order.order === "ping") {
      powers.ping(order.payload, () => socket.send(`pong ${order.payload}`));
    } else if (order.order === "close") {
      socket.close(order.code, order.reason);
    } else {
      farewell = order;
    }
  }

  function take(message) {
    const isText = typeof message === "string";
    const payload = isText ? utf8.encode(message) : new Uint8Array(message);
    received += payload.length;
    if (pieces > 1) {
      powers.sendFragments(payload, isText, pieces);
      pieces = 1;
    } else if (!listening) {
      socket.send(message);
    }
    if (farewell !== null) {
      socket.close(farewell.code, farewell.reason);
      farewell = null;
    }
  }

  socket.binaryType = "arraybuffer";
  return new Promise((resolve, reject) => {
    socket.addEventListener("message", ({ data }) => {
      try {
        if (typeof data === "string" && data.startsWith("!")) {
          obey(JSON.parse(data.slice(1)));
        } else {
          take(data);
        }
      } catch (error) {
        reject(error);
      }
    });
    let subprotocol = null;
    socket.addEventListener("open", () => { subprotocol = socket.protocol; });
    socket.addEventListener("error", () => {}); // "close" follows and tells
    socket.addEventListener("close", ({ code, reason }) =>
      resolve({ closed: [code, reason], received, subprotocol: subprotocol || socket.protocol || null }));
  });
}

if (typeof module !== "undefined") {
  module.exports = { behave };
}
