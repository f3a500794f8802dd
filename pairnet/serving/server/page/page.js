// Two digits are drawn, sent to the server while they are drawn, and its answer is shown.

const SIDE = 560; // pixels of a drawing, and of the picture of it that is sent
const BOARD = "#101418";
const INK = "#f6f4ee";
const PEN = 0.085; // width of the ink; widths and coordinates of a drawing are in units of its side
const STEP = 0.025; // what an arrow key moves the pen by
const PERIOD = 80; // milliseconds between two updates while a digit is drawn
const RETRY = 1000; // milliseconds until the next attempt after a failed one
const PATIENCE = 5000; // milliseconds to wait for the server
const UNSURE = 0.1; // distance of a probability from 0.5 up to which it decides nothing, as in `pairnet predict`

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// Points of the strokes of some digits. A point that is given twice is a corner.
const STROKES = {
  3: [[[0.31, 0.25], [0.41, 0.17], [0.56, 0.16], [0.66, 0.25], [0.63, 0.38], [0.52, 0.45], [0.44, 0.47], [0.44, 0.47],
    [0.57, 0.49], [0.69, 0.58], [0.69, 0.73], [0.57, 0.84], [0.41, 0.85], [0.29, 0.77]]],
  4: [[[0.43, 0.15], [0.38, 0.33], [0.3, 0.53], [0.3, 0.53], [0.5, 0.53], [0.74, 0.5]],
    [[0.63, 0.29], [0.61, 0.5], [0.57, 0.7], [0.56, 0.87]]],
  5: [[[0.41, 0.19], [0.38, 0.32], [0.35, 0.47], [0.35, 0.47], [0.47, 0.42], [0.62, 0.47], [0.69, 0.61], [0.64, 0.76],
    [0.51, 0.85], [0.38, 0.85], [0.28, 0.77]],
    [[0.41, 0.19], [0.55, 0.19], [0.7, 0.16]]],
  7: [[[0.27, 0.21], [0.47, 0.21], [0.72, 0.19], [0.72, 0.19], [0.61, 0.41], [0.51, 0.63], [0.46, 0.86]]],
  9: [[[0.67, 0.29], [0.59, 0.18], [0.46, 0.16], [0.35, 0.25], [0.34, 0.39], [0.44, 0.49], [0.57, 0.45], [0.65, 0.35],
    [0.67, 0.26], [0.67, 0.26], [0.66, 0.45], [0.62, 0.66], [0.57, 0.87]]],
};

const byId = (id) => document.getElementById(id);
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const nextFrame = () => new Promise(requestAnimationFrame);
const middle = ([x, y], [u, v]) => [(x + u) / 2, (y + v) / 2];

// Drawing

/** A surface to draw one digit on; calls `onChange` after each change. */
class Pad {
  constructor(section, onChange) {
    this.canvas = section.querySelector("canvas");
    this.hint = section.querySelector(".hint");
    this.remark = section.querySelector(".remark");
    this.pen = section.querySelector(".pen");
    this.canvas.width = this.canvas.height = SIDE;
    this.onChange = onChange;
    this.strokes = []; // each a list of points [x, y]
    this.stroke = null; // the one that is being drawn
    this.playing = false; // an example is being drawn
    this.version = 0; // counts the actions of the user, each of which ends an example that is being drawn
    this.changed = false; // since it was last sent
    this.decoded = null; // what the server made of the drawing
    this.decodedFor = null; // the model whose input that is
    this.position = [0.5, 0.5]; // of the keyboard's pen
    this.arrows = new Set(); // arrow keys that are held
    section.querySelector(".undo").addEventListener("click", () => this.undo());
    section.querySelector(".clear").addEventListener("click", () => this.clear());
    this.listenToPointer();
    this.listenToKeyboard();
    this.paint();
  }

  get empty() {
    return this.strokes.length === 0;
  }

  /** Whether there is no more than a dot, which is no digit: a tap, or the start of a stroke. */
  get dot() {
    const points = this.strokes.flat();
    const spread = (axis) => Math.max(...points.map((point) => point[axis])) - Math.min(...points.map((point) => point[axis]));
    return !this.empty && Math.max(spread(0), spread(1)) < 1.5 * PEN;
  }

  begin(point) {
    this.version += 1;
    this.playing = false;
    this.stroke = [point];
    this.strokes.push(this.stroke);
    this.update();
  }

  extend(points) {
    if (!this.stroke) return;
    this.stroke.push(...points);
    this.update();
  }

  end() {
    const drawing = this.stroke !== null;
    this.stroke = null;
    if (drawing && this.dot) this.update();
  }

  undo() {
    this.keep(this.strokes.slice(0, -1));
  }

  clear() {
    this.keep([]);
  }

  keep(strokes) {
    this.version += 1;
    this.playing = false;
    this.stroke = null;
    this.strokes = strokes;
    this.update();
  }

  update() {
    this.changed = true;
    this.paint();
    this.onChange();
  }

  paint() {
    const context = this.canvas.getContext("2d");
    context.fillStyle = BOARD;
    context.fillRect(0, 0, SIDE, SIDE);
    Object.assign(context, { strokeStyle: INK, lineWidth: PEN * SIDE, lineCap: "round", lineJoin: "round" });
    for (const stroke of this.strokes) {
      paintCurve(context, stroke.map(([x, y]) => [x * SIDE, y * SIDE]));
    }
    this.hint.hidden = !this.empty;
    this.movePen();
  }

  movePen() {
    const [x, y] = this.position;
    Object.assign(this.pen.style, { left: `${100 * x}%`, top: `${100 * y}%` });
    this.pen.classList.toggle("down", this.stroke !== null);
  }

  /** The drawing as PNG. */
  picture() {
    return new Promise((resolve) => this.canvas.toBlob(resolve, "image/png"));
  }

  /** Draws strokes as a hand would, unless the user draws or chooses something else. */
  async play(strokes) {
    this.clear();
    const { version } = this;
    this.playing = true;
    const pace = matchMedia("(prefers-reduced-motion: reduce)").matches ? Infinity : 3;
    for (const points of strokes) {
      for (let done = 0; done < points.length; done += pace) {
        await nextFrame();
        if (this.version !== version) return;
        if (done === 0) this.strokes.push([]);
        this.strokes.at(-1).push(...points.slice(done, done + pace));
        this.update();
      }
    }
    this.playing = false;
  }

  listenToPointer() {
    const { canvas } = this;
    let pointer = null; // a second finger on the same surface is ignored
    const pointOf = (event) => {
      const { left, top, width, height } = canvas.getBoundingClientRect();
      return [(event.clientX - left) / width, (event.clientY - top) / height];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (pointer !== null || event.button !== 0) return;
      pointer = event.pointerId;
      canvas.setPointerCapture(pointer);
      this.pen.hidden = true;
      this.begin(pointOf(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerId !== pointer) return;
      const events = event.getCoalescedEvents?.() ?? [];
      this.extend((events.length ? events : [event]).map(pointOf));
    });
    canvas.addEventListener("lostpointercapture", (event) => {
      if (event.pointerId !== pointer) return;
      pointer = null;
      this.end();
    });
  }

  listenToKeyboard() {
    let movedWithSpace = false; // Space that was held ends the stroke, Space that was pressed does not
    this.canvas.addEventListener("keydown", (event) => {
      if (!this.handleKey(event)) return;
      event.preventDefault();
      this.pen.hidden = false;
      movedWithSpace = event.key !== " " && this.stroke !== null;
      this.movePen();
    });
    this.canvas.addEventListener("keyup", (event) => {
      this.arrows.delete(event.key);
      if (event.key === " " && movedWithSpace) this.end();
      this.movePen();
    });
    this.canvas.addEventListener("focus", () => (this.pen.hidden = !this.canvas.matches(":focus-visible")));
    this.canvas.addEventListener("blur", () => {
      this.pen.hidden = true;
      this.arrows.clear();
      this.end();
    });
  }

  /** Does what a key asks for; false if it asks for nothing. */
  handleKey(event) {
    if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) this.undo();
    else if (event.ctrlKey || event.metaKey || event.altKey) return false;
    else if (event.key === "Backspace" || event.key === "Delete") this.clear();
    else if (event.key === " ") this.togglePen(event.repeat);
    else if (event.key in ARROWS) this.moveTowards(event.key);
    else return false;
    return true;
  }

  togglePen(repeated) {
    if (repeated) return;
    if (this.stroke) this.end();
    else this.begin(this.position);
  }

  /** Moves the pen one step in the directions of all arrow keys that are held, so that two of them make a diagonal. */
  moveTowards(key) {
    const inside = (value) => Math.min(Math.max(value, 0.05), 0.95);
    this.arrows.add(key);
    for (const arrow of this.arrows) {
      const [x, y] = ARROWS[arrow];
      this.position = [inside(this.position[0] + STEP * x), inside(this.position[1] + STEP * y)];
    }
    this.extend([this.position]);
  }
}

/** Paints a smooth curve: each point but the first and the last bends it, and the middles between them lie on it. */
function paintCurve(context, points) {
  context.beginPath();
  context.moveTo(...points[0]);
  for (let i = 1; i < points.length - 1; i++) context.quadraticCurveTo(...points[i], ...middle(points[i], points[i + 1]));
  const [x, y] = points.at(-1);
  context.lineTo(x + 0.01, y); // a line without length, a dot, would not be painted
  context.stroke();
}

/** Many points of the curve that paintCurve paints. */
function alongCurve(points) {
  const dense = [points[0]];
  for (let i = 1; i < points.length - 1; i++) {
    const [start, bend, end] = [dense.at(-1), points[i], middle(points[i], points[i + 1])];
    for (let step = 1; step <= 8; step++) {
      const t = step / 8;
      dense.push([0, 1].map((axis) => (1 - t) ** 2 * start[axis] + 2 * t * (1 - t) * bend[axis] + t ** 2 * end[axis]));
    }
  }
  return [...dense, points.at(-1)];
}

/** The strokes of a digit, a little different each time. */
function handwritten(digit) {
  const vary = (spread) => spread * (2 * Math.random() - 1);
  const [slant, tilt, width, height] = [vary(0.08), vary(0.05), 1 + vary(0.06), 1 + vary(0.06)];
  const moved = ([x, y]) => [
    0.5 + width * (x - 0.5) - slant * (y - 0.5),
    0.5 + height * (y - 0.5) + tilt * (x - 0.5),
  ];
  return STROKES[digit].map((points) => alongCurve(points.map(moved)));
}

// Server

/** The server cannot be reached, or reports something that may pass. */
class ServerProblem extends Error {}

async function call(path, options = {}) {
  try {
    return await fetch(path, { ...options, signal: AbortSignal.timeout(PATIENCE) });
  } catch {
    throw new ServerProblem("The server does not answer. This page continues when it does.");
  }
}

async function jsonOf(response) {
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body;
  if (response.status === 404) throw new ServerProblem("The server no longer has this model. Choosing another one.");
  throw new ServerProblem(`The server reports ${response.status}: ${body?.error ?? response.statusText}. Trying again.`);
}

async function listModels() {
  const index = await jsonOf(await call("v2/repository/index", { method: "POST" }));
  return [...new Set(index.filter(({ state }) => state === "READY").map(({ name }) => name))]; // each once, of all versions
}

async function describe(name) {
  const { inputs, outputs } = await jsonOf(await call(`v2/models/${encodeURIComponent(name)}`));
  return { name, input: inputs[0], hasDigits: outputs.some((output) => output.name === "digits") };
}

/** What the server makes of a drawing; if that is not one digit, why. */
async function decode(pad, model) {
  const path = `decode?model=${encodeURIComponent(model.name)}`;
  const body = await pad.picture();
  const response = await call(path, { method: "POST", headers: { "Content-Type": "image/png" }, body });
  if (response.status !== 400) return { decoded: await jsonOf(response), reason: "" };
  const { error } = await response.json().catch(() => ({}));
  return { decoded: null, reason: remarkOf(error) };
}

/** The server's words without the name of the file: "expected A, got B: what to do" as a sentence. */
function remarkOf(error) {
  const text = (error ?? "not one readable digit").replace(/^picture: /, "");
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

function requestFor(model, first, second) {
  const { name, datatype, shape } = model.input;
  const data = [...first.input, ...second.input];
  return {
    path: `v2/models/${encodeURIComponent(model.name).replaceAll("'", "%27")}/infer`,
    body: JSON.stringify({ inputs: [{ name, datatype, shape: [1, ...shape.slice(1)], data }] }),
  };
}

async function infer(request) {
  const headers = { "Content-Type": "application/json" };
  const start = performance.now();
  const { outputs } = await jsonOf(await call(request.path, { method: "POST", headers, body: request.body }));
  const milliseconds = performance.now() - start;
  const dataOf = (name) => outputs.find((output) => output.name === name)?.data;
  const digits = dataOf("digits");
  return {
    request,
    milliseconds,
    probability: dataOf("probability")[0],
    digits: digits && [digits.slice(0, 10), digits.slice(10)],
  };
}

// Updates

const pads = [...document.querySelectorAll(".pad")].map((section) => new Pad(section, scheduleUpdate));
let model = null; // the chosen one, once the server has described it
let wanted = false; // something has changed since the last update began
let updating = false;

/** Starts an update, or another one after that which is in progress, so that there is one request at a time. */
async function scheduleUpdate() {
  wanted = true;
  if (updating) return;
  updating = true;
  try {
    while (wanted) {
      wanted = false;
      await Promise.all([update(), wait(PERIOD)]);
    }
  } finally {
    updating = false;
  }
}

async function update() {
  try {
    model ??= await chooseModel();
    const asked = model; // another may be chosen in the meantime
    for (const pad of pads) if (pad.changed || pad.decodedFor !== asked) await readPad(pad, asked);
    const [first, second] = pads.map((pad) => pad.decoded);
    showAnswer(first && second ? await infer(requestFor(asked, first, second)) : null);
    showProblem("");
  } catch (error) {
    if (!(error instanceof ServerProblem)) throw error;
    showProblem(error.message);
    document.body.classList.remove("answered");
    await wait(RETRY);
    startAgain();
  }
}

/** Asks for the models again: another one is chosen, or another server may answer next time. */
function startAgain() {
  model = null;
  scheduleUpdate();
}

async function chooseModel() {
  const names = await listModels();
  const chosen = byId("models").value;
  const name = names.includes(chosen) ? chosen : names[0];
  if (name === undefined) throw new ServerProblem("The server has no model that is ready. Trying again.");
  const described = await describe(name);
  showModels(names, described);
  return described;
}

async function readPad(pad, model) {
  Object.assign(pad, { changed: false, decodedFor: model });
  const dot = pad.stroke || pad.playing ? "" : "Expected a digit, got a dot: draw larger.";
  const { decoded, reason } = pad.empty || pad.dot ? { decoded: null, reason: pad.empty ? "" : dot } : await decode(pad, model);
  pad.decoded = decoded;
  pad.remark.textContent = reason;
  showSeen(pads.indexOf(pad), pad.decoded);
}

// Display

function setText(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text; // the same text again would be read out again
}

function showProblem(text) {
  setText("problem", text);
  byId("problem").hidden = !text;
}

function showModels(names, { name, hasDigits }) {
  byId("models").replaceChildren(...names.map((each) => new Option(each, each, false, each === name)));
  byId("models").hidden = names.length === 1;
  byId("model").hidden = names.length > 1;
  setText("model", name);
  byId("no-digits").hidden = hasDigits;
  for (const bars of document.querySelectorAll(".bars")) bars.hidden = !hasDigits;
}

function showAnswer(answer) {
  const sign = answer && answer.probability > 0.5 ? "≤" : ">";
  const unsure = answer && Math.abs(answer.probability - 0.5) <= UNSURE;
  const names = answer?.digits?.map((digits) => digits.indexOf(Math.max(...digits))) ?? ["first", "second"];
  document.body.classList.toggle("answered", Boolean(answer) && !unsure);
  byId("answer").classList.toggle("words", Boolean(answer && !answer.digits));
  setText("answer", answer ? `${names[0]} ${sign} ${names[1]}` : "? ≤ ?");
  setText("sentence", answer ? sentence(names, sign, unsure) : missing());
  setText("probability", answer ? answer.probability.toFixed(3) : "–");
  setText("latency", answer ? `${answer.milliseconds.toFixed(1)} ms` : "–");
  byId("bar").style.width = answer ? `max(0.375rem, ${100 * answer.probability}%)` : "0"; // the surest ">" has a bar, too
  document.querySelectorAll(".bars").forEach((bars, place) => showBars(bars, answer?.digits?.[place]));
  setText("curl", answer ? curlFor(answer.request) : "Draw two digits first.");
  byId("copy").disabled = !answer;
}

function sentence([first, second], sign, unsure) {
  const relation = sign === "≤" ? "is equal to or less than" : "is greater than";
  if (typeof first === "number") return `${unsure ? "Unsure: " : ""}${first} ${relation} ${second}.`;
  return `${unsure ? "Unsure: the" : "The"} first digit ${relation} the second.`;
}

function missing() {
  if (pads.every((pad) => pad.empty)) return "Draw two digits, or choose an example.";
  const place = pads.findIndex((pad) => !pad.decoded);
  const name = ["first", "second"][place];
  return pads[place].empty ? `Now draw the ${name} digit.` : `The ${name} drawing is not one readable digit yet.`;
}

function addBars(bars) {
  for (let digit = 0; digit < 10; digit++) {
    bars.append(byId("bar-template").content.cloneNode(true));
    bars.lastElementChild.querySelector(".name").textContent = digit;
  }
}

function showBars(bars, digits) {
  [...bars.children].forEach((row, digit) => {
    const share = digits?.[digit] ?? 0;
    row.classList.toggle("best", Boolean(digits) && share === Math.max(...digits));
    row.querySelector(".track > span").style.width = `${100 * share}%`;
    row.querySelector(".value").textContent = digits ? share.toFixed(3) : "–";
  });
}

function showSeen(place, decoded) {
  const digit = document.querySelectorAll(".digit")[place];
  showPixels(digit.querySelector(".pixels"), decoded?.pixels);
  showPixels(digit.querySelector(".pooled"), decoded?.pooled);
  for (const figure of digit.querySelectorAll("figure")) figure.title = decoded?.notes.join("; ") ?? "";
}

function showPixels(canvas, levels) {
  const image = new ImageData(canvas.width, canvas.height);
  for (let i = 0; i < canvas.width * canvas.height; i++) {
    const level = levels?.[i] ?? 0;
    image.data.set([level, level, level, 255], 4 * i);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.setAttribute("aria-label", `${levels ? "Digit" : "Nothing"} at ${canvas.width} by ${canvas.height} pixels`);
}

function curlFor({ path, body }) {
  return `curl -s '${new URL(path, location.href)}' -H 'Content-Type: application/json' -d '${body}'`;
}

// Controls

async function copyCurl() {
  const copied = await copyText(byId("curl"));
  byId("copied").textContent = copied ? "Copied" : "Selected: copy it with the keyboard";
  await wait(2000);
  byId("copied").textContent = "";
}

/** Copies the text of an element, without navigator.clipboard if need be: it exists in secure contexts only. */
async function copyText(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}

function playExample({ target }) {
  const { digits } = target.dataset;
  if (digits) pads.forEach((pad, place) => pad.play(handwritten(digits[place])));
}

document.querySelectorAll(".bars").forEach(addBars);
byId("examples").addEventListener("click", playExample);
byId("models").addEventListener("change", startAgain);
byId("copy").addEventListener("click", copyCurl);
[0, 1].forEach((place) => showSeen(place, null));
showAnswer(null);
scheduleUpdate();
