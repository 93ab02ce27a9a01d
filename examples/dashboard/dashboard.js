// Receives samples and draws them. The socket is opened again whenever it is lost.

const FIRST_WAIT = 250;
const LONGEST_WAIT = 8000;
const PLOTS = {
  cpu: { unit: " %", least: 5, digits: 1 },
  delay: { unit: " ms", least: 2, digits: 1 },
  viewers: { unit: "", least: 2, digits: 0 },
};

const $ = (id) => document.getElementById(id);
let samples = [];
let kept = 300;
let failures = 0;
let isDrawn = true;

function open() {
  const url = new URL("live", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url);
  socket.onopen = () => say("Live");
  socket.onmessage = ({ data }) => {
    failures = 0;
    take(JSON.parse(data));
  };
  socket.onclose = () => {
    // Twice as long each time, and never all tabs at once.
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** failures) * (0.5 + Math.random() / 2);
    failures += 1;
    say("Lost the server, trying again");
    setTimeout(open, wait);
  };
}

function say(state) {
  $("state").textContent = state;
}

function take(message) {
  if (message.type === "history") {
    samples = message.samples;
    kept = Math.round(60 / message.interval);
  } else {
    samples.push(message);
    samples.splice(0, samples.length - kept);
  }
  // Once a frame of the screen, however many samples come; and not at all in a tab that nobody sees.
  if (isDrawn) requestAnimationFrame(draw);
  isDrawn = false;
}

function draw() {
  isDrawn = true;
  for (const [name, plot] of Object.entries(PLOTS)) {
    const values = samples.map((sample) => sample[name]);
    drawPlot($(name), values, plot);
    if (values.length) $(`${name}-now`).value = values.at(-1).toFixed(plot.digits) + plot.unit;
  }
}

function drawPlot(canvas, values, { unit, least }) {
  const scale = devicePixelRatio;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const top = roundedUp(Math.max(least, ...values));
  const y = (value) => height - 6 - (value / top) * (height - 22);

  pen.font = `12px ${style.fontFamily}`;
  for (const value of [0, top / 2, top]) {
    pen.fillStyle = style.borderTopColor;
    pen.fillRect(0, Math.round(y(value)), width, 1);
    pen.fillStyle = style.outlineColor;
    pen.fillText(`${value}${unit}`, 0, y(value) - 3);
  }
  pen.beginPath();
  // The newest is always at the right.
  const step = width / (kept - 1);
  values.forEach((value, i) => pen.lineTo(width - (values.length - 1 - i) * step, y(value)));
  pen.strokeStyle = style.color;
  pen.lineWidth = 1.5;
  pen.stroke();
}

/** The next of 1, 2, 4, 6, 8, 10, 20 and so on: a figure whose half is one, too. */
function roundedUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].map((factor) => factor * power).find((each) => each >= value);
}

addEventListener("resize", draw);
open();
