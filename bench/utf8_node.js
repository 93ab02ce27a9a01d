// Times simdutf, through Node's buffer.isUtf8, for bench/node.py.
// One JSON command a line on standard input, one JSON answer a line on standard output.
"use strict";

const { isUtf8 } = require("node:buffer");
const fs = require("node:fs");

const texts = new Map();

const clocks = {
  wall: () => Number(process.hrtime.bigint()) / 1e9,
  processor: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  },
};

function run(text, iterations, clock) {
  let valid = 0;
  const start = clock();
  for (let i = 0; i < iterations; i++) {
    if (isUtf8(text)) valid++;
  }
  return { seconds: clock() - start, valid };
}

function answer(command) {
  if (command.load !== undefined) {
    texts.set(command.name, Buffer.from(command.load, "base64"));
    return { bytes: texts.get(command.name).length };
  }
  if (command.iterations !== undefined) {
    return run(texts.get(command.name), command.iterations, clocks[command.clock]);
  }
  return { node: process.version, simdutf: process.versions.simdutf };
}

// Synchronous reads: an event loop's wake-up must not fall into a measurement.
const block = Buffer.alloc(1 << 16);
let pending = Buffer.alloc(0);
for (;;) {
  const size = fs.readSync(0, block, 0, block.length);
  if (size === 0) break;
  pending = Buffer.concat([pending, block.subarray(0, size)]);
  for (;;) {
    const end = pending.indexOf(10);
    if (end < 0) break;
    const command = JSON.parse(pending.subarray(0, end).toString());
    pending = pending.subarray(end + 1);
    fs.writeSync(1, JSON.stringify(answer(command)) + "\n");
  }
}
