// A moving plot of the last half minute.

import { sharpen } from "./dom.js";

const SECONDS = 30;
const LEFT = 44;

export class Plot {
  constructor(canvas, { title, unit, digits = 0, least }) {
    Object.assign(this, { canvas, title, unit, digits, least, series: [], top: least });
  }

  /** Adds a line; `emphasis` is drawn in the accent colour. */
  line(name, emphasis = false) {
    const points = [];
    this.series.push({ name, emphasis, points });
    return (value, at = performance.now()) => {
      points.push([at, value]);
      while (points.length && points[0][0] < at - (SECONDS + 2) * 1000) points.shift();
    };
  }

  draw(now) {
    const { context: pen, width, height, style } = sharpen(this.canvas);
    if (!width) return;
    const bottom = height - 4;
    const ceiling = 22;
    this.top = this.#ceiling();
    const y = (value) => bottom - Math.min(value / this.top, 1) * (bottom - ceiling);
    const x = (at) => width - ((now - at) / (SECONDS * 1000)) * (width - LEFT);
    pen.font = `12px ${style.fontFamily}`;
    this.#axes(pen, y, width, style);
    pen.save();
    pen.beginPath();
    pen.rect(LEFT, 0, width - LEFT, height);
    pen.clip();
    for (const { points, emphasis } of this.series) this.#trace(pen, points, x, y, bottom, emphasis, style);
    pen.restore();
    this.#legend(pen, width, style);
  }

  #ceiling() {
    // A single outlier shall not flatten all the rest: it is cut off at the top.
    const values = this.series.flatMap(({ points }) => points.map(([, value]) => value)).sort((a, b) => a - b);
    const most = Math.max(this.least, values[Math.floor(values.length * 0.98)] ?? 0);
    const step = 10 ** Math.floor(Math.log10(most));
    return [1, 2, 4, 5, 10].map((times) => times * step).find((nice) => nice >= most);
  }

  #axes(pen, y, width, style) {
    pen.strokeStyle = style.borderTopColor;
    pen.fillStyle = style.outlineColor;
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const share of [0, 0.5, 1]) {
      const value = this.top * share;
      const at = Math.round(y(value)) + 0.5;
      pen.beginPath();
      pen.moveTo(LEFT, at);
      pen.lineTo(width, at);
      pen.stroke();
      pen.fillText(share ? value.toFixed(value < 10 ? this.digits : 0) : "0", LEFT - 8, at - (share ? 0 : 2));
    }
  }

  #trace(pen, points, x, y, bottom, emphasis, style) {
    if (points.length < 2) return;
    pen.beginPath();
    points.forEach(([at, value], i) => pen[i ? "lineTo" : "moveTo"](x(at), y(value)));
    pen.strokeStyle = emphasis ? style.color : style.outlineColor;
    pen.lineWidth = emphasis ? 1.75 : 1.25;
    pen.lineJoin = "round";
    pen.stroke();
    if (!emphasis) return;
    pen.lineTo(x(points.at(-1)[0]), bottom);
    pen.lineTo(x(points[0][0]), bottom);
    pen.globalAlpha = 0.1;
    pen.fillStyle = style.color;
    pen.fill();
    pen.globalAlpha = 1;
  }

  #legend(pen, width, style) {
    pen.textBaseline = "alphabetic";
    pen.textAlign = "left";
    pen.fillStyle = style.outlineColor;
    pen.fillText(this.title, LEFT, 12);
    pen.textAlign = "right";
    let at = width;
    for (const { name, emphasis } of [...this.series].reverse()) {
      if (!name) continue;
      pen.fillStyle = emphasis ? style.color : style.outlineColor;
      pen.fillText(name, at, 12);
      at -= pen.measureText(name).width + 14;
    }
  }

  /** What a screen reader says instead. */
  describe() {
    const latest = this.series.filter(({ points }) => points.length);
    const values = latest.map(({ name, points }) => `${name} ${points.at(-1)[1].toFixed(this.digits)} ${this.unit}`);
    this.canvas.setAttribute("aria-label", `${this.title}, the last ${SECONDS} seconds; now ${values.join(", ")}`);
  }
}
