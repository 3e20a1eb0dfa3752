const data = JSON.parse(document.getElementById("content").textContent);
const $ = (id) => document.getElementById(id);
const picture = new PointPicture($("cloud")), camera = new Camera(), scenes = [];
const EYES_M = 1.5; // above the floor
let listed = data.questions, now = data.questions[0], shownScene = null, moving = false, hovered = null, asked = false;

function sceneOf(question) {
  return (scenes[question.scene] ??= unpackScene(data.scenes[question.scene]));
}

// --- the camera ---

function lookAtAll() {
  const { low, high, floor } = sceneOf(now);
  camera.target = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, floor + 0.5];
  const across = Math.hypot(high[0] - low[0], high[1] - low[1]);
  Object.assign(camera, { distance: 1.2 * across, yaw: Math.PI / 3, pitch: -0.75 });
  if (now.asker) camera.yaw = Math.atan2(now.asker[3], now.asker[2]) + 0.5; // over the asker's shoulder
}

function lookFromAbove() {
  lookAtAll();
  Object.assign(camera, { pitch: -Math.PI / 2 + 1e-3, distance: 1.1 * camera.distance });
  const { low, high } = sceneOf(now);
  camera.yaw = high[0] - low[0] > high[1] - low[1] ? Math.PI / 2 : 0;
}

function lookThroughEyes() {
  const [x, y, ahead, aside] = now.asker;
  camera.target = [x, y, sceneOf(now).floor + EYES_M];
  Object.assign(camera, { distance: 0.01, yaw: Math.atan2(aside, ahead), pitch: -0.2 });
}

// --- drawing ---

function redraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    draw();
  });
}

function draw() {
  const box = $("stage").getBoundingClientRect();
  const density = moving ? 1 : Math.min(2, window.devicePixelRatio || 1);
  const [width, height] = [Math.round(box.width * density), Math.round(box.height * density)];
  if (width < 8 || height < 8) return;
  camera.place(width, height);
  document.body.dataset.points = picture.draw(sceneOf(now), camera, width, height);
  drawLines(width, height, density);
}

function drawLines(width, height, density) {
  const canvas = $("lines"), scene = sceneOf(now), style = getComputedStyle(document.documentElement);
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const pen = canvas.getContext("2d"), color = (name) => style.getPropertyValue(`--${name}`).trim();
  pen.clearRect(0, 0, width, height);
  const labels = [];
  if ($("objects").checked) {
    scene.boxes.forEach((box, i) => {
      stroke(pen, boxEdges(box), color("muted"), 1.2 * density);
      labels.push([box, scene.labels[i], color("muted")]);
    });
  }
  const attention = $("proposals").checked ? now.attention ?? [] : [];
  const most = attention.length ? attention[0][2] : 1;
  [...attention].reverse().forEach(([box, label, share], i) => {
    const strength = share / most, rank = attention.length - 1 - i;
    const hue = `color-mix(in srgb, ${color("hot")} ${Math.round(100 * strength)}%, ${color("warm")})`;
    stroke(pen, boxEdges(box), hue, (0.8 + 3.2 * strength) * density, 0.25 + 0.75 * Math.sqrt(strength));
    if (rank < 5 && strength > 0.15) labels.push([box, `${label} ${Math.round(100 * share)} %`, hue]);
  });
  if (hovered) {
    stroke(pen, boxEdges(hovered.box), color("ink"), 2 * density);
    labels.push([hovered.box, hovered.label, color("ink")]);
  }
  if (now.guess) drawPerson(pen, now.guess, color("guess"), density, [6 * density, 5 * density]);
  if (now.asker && camera.distance > 0.3) drawPerson(pen, now.asker, color("asker"), density, []);
  drawLabels(pen, labels, color("page"), density);
}

// Pieces of a line that stand behind points are drawn faintly.
function stroke(pen, edges, color, width, opacity = 1, dash = []) {
  const seen = new Path2D(), hidden = new Path2D();
  for (const [a, b] of edges) {
    const pieces = Math.max(2, Math.min(24, Math.ceil(8 * Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]))));
    let before = null;
    for (let i = 0; i <= pieces; i++) {
      const point = camera.project(...a.map((v, axis) => v + ((b[axis] - v) * i) / pieces));
      if (point[2] < NEAR) {
        before = null;
        continue;
      }
      if (before) {
        const middle = (before[2] + point[2]) / 2;
        const depth = picture.depthAt((before[0] + point[0]) / 2, (before[1] + point[1]) / 2);
        const path = middle < depth + 0.06 ? seen : hidden;
        path.moveTo(before[0], before[1]);
        path.lineTo(point[0], point[1]);
      }
      before = point;
    }
  }
  Object.assign(pen, { strokeStyle: color, lineCap: "round", globalAlpha: opacity, lineWidth: width });
  pen.setLineDash(dash);
  pen.stroke(seen);
  Object.assign(pen, { globalAlpha: 0.4 * opacity, lineWidth: 0.7 * width });
  pen.stroke(hidden);
  pen.globalAlpha = 1;
  pen.setLineDash([]);
}

function boxEdges([x, y, z, length, width, height]) {
  const corner = (i) => [x + (i & 1 ? length : -length) / 2, y + (i & 2 ? width : -width) / 2, z + (i & 4 ? height : -height) / 2];
  const edges = [];
  for (let i = 0; i < 8; i++) for (const bit of [1, 2, 4]) if (!(i & bit)) edges.push([corner(i), corner(i | bit)]);
  return edges;
}

// A ring on the floor, a stick up to the eyes, and an arrow along the gaze.
function drawPerson(pen, [x, y, ahead, aside], color, density, dash) {
  const floor = sceneOf(now).floor + 0.02, up = floor + EYES_M, ring = [];
  for (let i = 0; i < 24; i++) {
    const [a, b] = [(i * Math.PI) / 12, ((i + 1) * Math.PI) / 12];
    ring.push([[x + 0.22 * Math.cos(a), y + 0.22 * Math.sin(a), floor], [x + 0.22 * Math.cos(b), y + 0.22 * Math.sin(b), floor]]);
  }
  const at = (forward, left, z) => [x + forward * ahead - left * aside, y + forward * aside + left * ahead, z];
  const head = [[at(0.9, 0, up), at(0.68, 0.14, up)], [at(0.9, 0, up), at(0.68, -0.14, up)]];
  stroke(pen, [...ring, [at(0.22, 0, floor), at(0.45, 0, floor)]], color, 2.4 * density, 1, dash);
  stroke(pen, [[at(0, 0, floor), at(0, 0, up)], [at(0, 0, up), at(0.9, 0, up)], ...head], color, 3.4 * density, 1, dash);
  const [px, py, depth] = camera.project(x, y, up);
  if (depth < NEAR) return;
  pen.fillStyle = color;
  pen.beginPath();
  pen.arc(px, py, Math.max(4 * density, (0.11 * camera.focal) / depth), 0, 2 * Math.PI);
  pen.fill();
}

function drawLabels(pen, labels, ground, density) {
  pen.font = `600 ${12 * density}px system-ui, sans-serif`;
  const taken = [];
  for (const [[x, y, z, , , height], text, color] of labels.reverse()) {
    const [px, py, depth] = camera.project(x, y, z + height / 2);
    if (depth < NEAR) continue;
    const width = pen.measureText(text).width + 8 * density, tall = 17 * density;
    const left = px - width / 2, top = py - tall - 2 * density;
    if (taken.some(([l, t, w]) => left < l + w && l < left + width && Math.abs(top - t) < tall)) continue;
    taken.push([left, top, width]);
    Object.assign(pen, { globalAlpha: 0.88, fillStyle: ground });
    pen.fillRect(left, top, width, tall);
    Object.assign(pen, { globalAlpha: 1, fillStyle: color });
    pen.fillText(text, left + 4 * density, top + 12.5 * density);
  }
}

// --- the question ---

function element(tag, text, className = "") {
  return Object.assign(document.createElement(tag), { textContent: text, className });
}

function showCard() {
  const sections = [];
  const section = (title) => {
    sections.push(element("section", ""));
    sections.at(-1).append(element("h2", title));
    return sections.at(-1);
  };
  const truth = section("true answer");
  truth.append(element("div", now.true.join(" / ") || "not known", "truth"));
  const given = section(now.right ? "answers: right" : "answers: wrong");
  if (now.answers.length === 0) given.append(element("div", "no answer"));
  now.answers.forEach((answer, i) => {
    const row = element("div", "", now.true.includes(answer) ? "row hit" : "row"), share = now.probabilities?.[i];
    row.append(element("span", answer || "(empty)"), element("span", share === undefined ? `${i + 1}.` : `${(100 * share).toFixed(1)} %`));
    given.append(row);
    if (share !== undefined) given.append(Object.assign(element("div", "", "bar"), { style: `width: ${100 * share}%` }));
  });
  if (now.attention?.length) {
    const attention = section("attended to");
    for (const [, label, share] of now.attention.slice(0, 5)) {
      const row = element("div", "", "row");
      row.append(element("span", label), element("span", `${(100 * share).toFixed(1)} %`));
      attention.append(row, Object.assign(element("div", "", "bar"), { style: `width: ${100 * share}%` }));
    }
  }
  section("record").append(element("div", `question_id ${now.id}, ${data.scenes[now.scene].id}`, "muted"));
  $("card").replaceChildren(...sections);
}

function show(question) {
  now = question;
  $("situation").textContent = question.situation;
  $("question").textContent = question.question;
  const place = listed.indexOf(question);
  $("place").textContent = place < 0 ? `– / ${listed.length}` : `${place + 1} / ${listed.length}`;
  $("eyes").hidden = !question.asker;
  document.querySelector(".of-guess").hidden = !question.guess;
  for (const part of [document.querySelector(".of-attention"), $("proposals").parentElement]) part.hidden = !question.attention;
  for (const button of $("list").querySelectorAll("button")) {
    const current = button.dataset.id === question.id;
    button.setAttribute("aria-current", current);
    if (current) button.scrollIntoView({ block: "nearest" });
  }
  hovered = null;
  if (shownScene !== question.scene) lookAtAll();
  shownScene = question.scene;
  showCard();
  history.replaceState(null, "", `#${question.id}`);
  redraw();
}

function step(by) {
  const place = listed.indexOf(now);
  if (listed.length) show(listed[place < 0 ? 0 : (place + by + listed.length) % listed.length]);
}

function filter() {
  const words = $("words").value.toLowerCase().trim();
  const told = ({ id, situation, question, true: truth, answers, scene }) =>
    [id, situation, question, ...truth, ...answers, data.scenes[scene].id].join("\n").toLowerCase();
  listed = data.questions.filter(
    (q) =>
      ($("type").value === "all" || q.type === $("type").value) &&
      ($("verdict").value === "all" || q.right === ($("verdict").value === "right")) &&
      (!words || told(q).includes(words)),
  );
  $("list").replaceChildren(...listed.map(listItem));
  if (listed.length === 0) $("list").append(element("li", "No question is like that.", "none"));
  show(listed.includes(now) || listed.length === 0 ? now : listed[0]);
}

function listItem(question) {
  const item = element("li", ""), button = element("button", "", question.right ? "right" : "wrong");
  button.dataset.id = question.id;
  const note = element("small", "", "muted");
  note.append(element("span", `${question.right ? "✓" : "✗"} ${question.answers[0] ?? "no answer"}${question.right ? "" : ` (${question.true[0] ?? "?"})`}`));
  note.append(element("span", data.scenes[question.scene].id));
  button.append(element("span", question.question), note);
  button.addEventListener("click", () => show(question));
  item.append(button);
  return item;
}

function fillTypes() {
  const count = {};
  for (const { type } of data.questions) count[type] = (count[type] ?? 0) + 1;
  const option = (value, text) => Object.assign(element("option", text), { value });
  $("type").append(option("all", `all types (${data.questions.length})`));
  for (const [type, n] of Object.entries(count)) $("type").append(option(type, `${type} (${n})`));
}

// --- hands ---

const fingers = new Map();

function turn(dx, dy) {
  camera.yaw -= dx * 0.006;
  camera.pitch = Math.max(-1.57, Math.min(1.2, camera.pitch - dy * 0.006));
}

function pan(dx, dy) {
  const scale = (Math.max(camera.distance, 0.8) * (camera.width / $("stage").clientWidth)) / camera.focal;
  camera.target = camera.target.map((t, i) => t + scale * (dy * camera.up[i] - dx * camera.right[i]));
}

function zoom(by) {
  camera.distance = Math.max(0.01, Math.min(60, camera.distance * by + (by > 1 && camera.distance < 0.3 ? 0.3 : 0)));
}

function spread() {
  const [a, b] = [...fingers.values()];
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, apart: Math.hypot(a.x - b.x, a.y - b.y) };
}

$("lines").addEventListener("pointerdown", (event) => {
  $("lines").setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
});
$("lines").addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId), place = { x: event.offsetX, y: event.offsetY };
  if (!before) return hover(place);
  moving = true;
  if (fingers.size === 2) {
    const old = spread();
    fingers.set(event.pointerId, place);
    const fresh = spread();
    pan(fresh.x - old.x, fresh.y - old.y);
    zoom(old.apart / Math.max(fresh.apart, 1));
  } else {
    (event.buttons & 6 || event.shiftKey ? pan : turn)(place.x - before.x, place.y - before.y);
    fingers.set(event.pointerId, place);
  }
  redraw();
});
for (const end of ["pointerup", "pointercancel"]) {
  $("lines").addEventListener(end, (event) => {
    fingers.delete(event.pointerId);
    moving = fingers.size > 0;
    redraw();
  });
}
$("lines").addEventListener("contextmenu", (event) => event.preventDefault());
$("lines").addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(Math.max(-0.5, Math.min(0.5, event.deltaY * 0.0015))));
  redraw();
}, { passive: false });

// The smallest annotated object around the point below the cursor.
function hover({ x, y }) {
  const density = camera.width / $("stage").clientWidth, scene = sceneOf(now);
  const depth = picture.depthAt(x * density, y * density);
  let found = null;
  if (depth < Infinity) {
    const point = camera.unproject(x * density, y * density, depth);
    scene.boxes.forEach((box, i) => {
      const inside = [0, 1, 2].every((axis) => Math.abs(point[axis] - box[axis]) < box[axis + 3] / 2 + 0.03);
      const size = box[3] * box[4] * box[5];
      if (inside && (!found || size < found.size)) found = { box, size, label: scene.labels[i] };
    });
  }
  if (found?.box !== hovered?.box) {
    hovered = found;
    redraw();
  }
}

const keys = { ArrowDown: () => step(1), j: () => step(1), ArrowUp: () => step(-1), k: () => step(-1), 0: lookAtAll, t: lookFromAbove, e: () => now.asker && lookThroughEyes() };
document.addEventListener("keydown", (event) => {
  if (["INPUT", "SELECT"].includes(event.target.tagName) || event.ctrlKey || event.metaKey || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
  redraw();
});
for (const [id, look] of [["whole", lookAtAll], ["above", lookFromAbove], ["eyes", lookThroughEyes]]) {
  $(id).addEventListener("click", () => {
    look();
    redraw();
  });
}
for (const id of ["objects", "proposals"]) $(id).addEventListener("change", redraw);
for (const id of ["type", "verdict"]) $(id).addEventListener("change", filter);
$("words").addEventListener("input", filter);
$("previous").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
new ResizeObserver(redraw).observe($("stage"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
fillTypes();
now = data.questions.find((question) => `#${question.id}` === location.hash) ?? now;
filter();
