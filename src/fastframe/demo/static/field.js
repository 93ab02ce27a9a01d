// Where everybody is: drawn from what the server says, one's own mark too.

import { $, say, sharpen, still } from "./dom.js";

const TRAIL = 36;
const STEP = 0.02;
const ARROWS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };

export class Field {
  #marks = new Map();
  #own = { x: 0.5, y: 0.5 };
  #isHeld = false;
  #number = 0;

  constructor(canvas) {
    this.canvas = canvas;
    canvas.addEventListener("pointermove", (event) => this.#follow(event));
    canvas.addEventListener("pointerdown", (event) => this.#follow(event));
    canvas.addEventListener("pointerleave", () => { this.#isHeld = document.activeElement === canvas; });
    canvas.addEventListener("blur", () => { this.#isHeld = false; });
    canvas.addEventListener("keydown", (event) => {
      const arrow = ARROWS[event.key];
      if (!arrow) return;
      event.preventDefault();
      this.#hold(this.#own.x + arrow[0], this.#own.y + arrow[1]);
    });
  }

  /** Where one is now; as long as nobody moves it, the mark wanders. */
  get position() {
    if (!this.#isHeld && !still.matches) {
      const t = performance.now() / 1000 + this.#number * 2.1;
      this.#own = { x: 0.5 + 0.36 * Math.sin(t * 0.41) , y: 0.5 + 0.3 * Math.sin(t * 0.67 + this.#number) };
    }
    return this.#own;
  }

  greet({ number, name }) {
    this.#number = number;
    say($("who"), `You are ${name}.`);
  }

  show(visitors) {
    const present = new Set(visitors.map(({ number }) => number));
    for (const number of this.#marks.keys()) if (!present.has(number)) this.#marks.delete(number);
    for (const { number, name, at } of visitors) {
      if (!at) continue;
      const mark = this.#marks.get(number) ?? { x: at[0], y: at[1], trail: [] };
      this.#marks.set(number, Object.assign(mark, { name, at }));
    }
    const others = visitors.filter(({ number }) => number !== this.#number).map(({ name }) => name);
    say($("here"), others.length ? `With you: ${others.join(", ")}` : "Just you so far. Open another tab.");
  }

  clear() {
    this.#marks.clear();
    say($("here"), "");
  }

  draw() {
    const { context: pen, width, height, style } = sharpen(this.canvas);
    if (!width) return;
    this.#grid(pen, width, height, style);
    for (const [number, mark] of this.#marks) {
      const share = still.matches ? 1 : 0.3;
      mark.x += (mark.at[0] - mark.x) * share;
      mark.y += (mark.at[1] - mark.y) * share;
      mark.trail.push([mark.x, mark.y]);
      if (mark.trail.length > TRAIL) mark.trail.shift();
      this.#mark(pen, mark, width, height, number === this.#number ? style.color : style.outlineColor);
    }
  }

  #grid(pen, width, height, style) {
    pen.fillStyle = style.borderTopColor;
    const step = 24;
    for (let x = (width % step) / 2; x < width; x += step) {
      for (let y = (height % step) / 2; y < height; y += step) pen.fillRect(x - 0.75, y - 0.75, 1.5, 1.5);
    }
  }

  #mark(pen, { x, y, trail, name }, width, height, colour) {
    pen.strokeStyle = pen.fillStyle = colour;
    pen.lineCap = "round";
    if (!still.matches) {
      for (let i = 1; i < trail.length; i++) {
        pen.globalAlpha = (i / trail.length) ** 2 * 0.5;
        pen.lineWidth = 1 + (i / trail.length) * 3;
        pen.beginPath();
        pen.moveTo(trail[i - 1][0] * width, trail[i - 1][1] * height);
        pen.lineTo(trail[i][0] * width, trail[i][1] * height);
        pen.stroke();
      }
    }
    pen.globalAlpha = 1;
    pen.beginPath();
    pen.arc(x * width, y * height, 5.5, 0, 7);
    pen.fill();
    pen.font = `500 13px ${getComputedStyle(this.canvas).fontFamily}`;
    const wide = pen.measureText(name).width;
    const right = x * width + 12 + wide < width - 4;
    pen.textAlign = right ? "left" : "right";
    pen.textBaseline = "middle";
    pen.fillText(name, x * width + (right ? 12 : -12), Math.min(Math.max(y * height, 10), height - 10));
  }

  #follow(event) {
    const box = this.canvas.getBoundingClientRect();
    this.#hold((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }

  #hold(x, y) {
    const inside = (share) => Math.min(Math.max(share, 0), 1);
    this.#isHeld = true;
    this.#own = { x: inside(x), y: inside(y) };
  }
}
