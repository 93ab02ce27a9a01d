// The page's conversation with the server: one WebSocket, opened again when it is lost.

const SUBPROTOCOLS = ["fastframe-demo.v2", "fastframe-demo.v1", "echo"];
const FIRST_WAIT = 250;
const LONGEST_WAIT = 8000;

/** The URL of one of the server's WebSockets. */
export function socketUrl(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  return url;
}

/**
 * Events: "state" (connecting, open, closed, waiting), "message" (an object),
 * "picture" (a blob) and "ended" (what the close event says).
 */
export class Talk extends EventTarget {
  #failures = 0;
  #isWanted = true;
  #retry = 0;
  #caption = null;

  constructor(getUpdateData) {
    super();
    this.getUpdateData = getUpdateData;
    this.received = 0;
    this.sent = 0;
  }

  open() {
    clearTimeout(this.#retry);
    this.#isWanted = true;
    const socket = new WebSocket(socketUrl("live"), SUBPROTOCOLS);
    let timer = 0;
    this.socket = socket;
    this.#tell("state", { state: "connecting" });

    socket.onopen = () => {
      this.#failures = 0;
      this.#tell("state", { state: "open" });
      timer = setInterval(() => {
        if (socket.bufferedAmount === 0) {
          socket.send(this.getUpdateData());
          this.sent += 1;
        }
      }, 50);
    };

    socket.onmessage = ({ data }) => {
      this.received += 1;
      if (typeof data === "string") this.#take(JSON.parse(data));
      else if (this.#caption) this.#tell("picture", { caption: this.#caption, blob: data });
    };

    socket.onclose = ({ code, reason, wasClean }) => {
      clearInterval(timer);
      this.#tell("ended", { code, reason, wasClean });
      if (this.#isWanted) this.#wait();
      else this.#tell("state", { state: "closed", code });
    };
  }

  send(message) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(typeof message === "string" || message instanceof Blob ? message : JSON.stringify(message));
    this.sent += 1;
    return true;
  }

  /** Somebody has chosen that it ends, here or over there: it is not opened again by itself. */
  end(code, reason, byServer) {
    if (byServer) {
      if (this.send({ type: "close", code, reason })) this.#isWanted = false;
      return;
    }
    this.#isWanted = false;
    this.socket.close(code, reason);
  }

  /** The server did not do what `end` asked of it. */
  stay() {
    this.#isWanted = true;
  }

  #take(message) {
    if (message.type === "picture") this.#caption = message;
    this.#tell("message", message);
  }

  #wait() {
    // Twice as long each time, and never all tabs at once.
    const longest = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#failures);
    const wait = longest * (0.5 + Math.random() / 2);
    this.#failures += 1;
    this.#tell("state", { state: "waiting", seconds: wait / 1000 });
    this.#retry = setTimeout(() => this.open(), wait);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
