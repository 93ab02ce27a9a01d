// A frame's header, from its bytes (RFC 6455 section 5.2).

const OPCODES = { 0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong" };

export const fromHex = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
export const hex = (byte) => byte.toString(16).padStart(2, "0");

export function parseHeader(bytes) {
  const bit = (byte, place) => (bytes[byte] >> (7 - place)) & 1;
  const short = bytes[1] & 0x7f;
  const extended = short === 126 ? 2 : short === 127 ? 8 : 0;
  const masked = bit(1, 0) === 1;
  return {
    fin: bit(0, 0),
    rsv1: bit(0, 1),
    rsv2: bit(0, 2),
    rsv3: bit(0, 3),
    opcode: bytes[0] & 0x0f,
    name: OPCODES[bytes[0] & 0x0f] ?? "reserved",
    masked,
    short,
    extended: bytes.slice(2, 2 + extended),
    key: masked ? bytes.slice(2 + extended, 6 + extended) : null,
  };
}

/** Section 5.3: the same again takes it off. */
export const mask = (bytes, key) => (key ? bytes.map((byte, i) => byte ^ key[i % 4]) : bytes);

/** Printable ASCII; the rest as a middle dot. */
export const ascii = (bytes) => Array.from(bytes, (byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
