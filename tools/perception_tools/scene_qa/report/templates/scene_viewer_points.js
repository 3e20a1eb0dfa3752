"use strict";
// Points on a canvas by a depth buffer: no graphics card, and the same picture everywhere.

const NEAR = 0.03; // metres

function bytes(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

// A scene as it is drawn: positions in metres, and which ranges of points belong to which group.
function unpackScene(packed) {
  const whole = new Uint16Array(bytes(packed.points).buffer);
  const positions = new Float32Array(whole.length);
  for (let i = 0; i < whole.length; i++) positions[i] = packed.low[i % 3] + whole[i] * packed.step[i % 3];
  const high = packed.low.map((low, i) => low + 65535 * packed.step[i]);
  const ends = [];
  packed.groups.reduce((sum, count) => (ends.push(sum + count), sum + count), 0);
  return { ...packed, positions, colors: bytes(packed.colors), radii: bytes(packed.radii), high, ends };
}

// Where the camera is and how it looks: it orbits a target. Angles in radians, yaw from x, pitch up.
class Camera {
  constructor() {
    Object.assign(this, { target: [0, 0, 0], distance: 5, yaw: 0, pitch: 0, field: 0.87 });
  }
  place(width, height) {
    const [cy, sy, cp, sp] = [Math.cos(this.yaw), Math.sin(this.yaw), Math.cos(this.pitch), Math.sin(this.pitch)];
    this.forward = [cy * cp, sy * cp, sp];
    this.right = [sy, -cy, 0];
    this.up = [-cy * sp, -sy * sp, cp];
    this.eye = this.target.map((t, i) => t - this.distance * this.forward[i]);
    this.focal = Math.min(width, height * 1.3) / 2 / Math.tan(this.field / 2);
    [this.width, this.height] = [width, height];
  }
  // To [x, y, depth] on the canvas.
  project(x, y, z) {
    const dx = x - this.eye[0], dy = y - this.eye[1], dz = z - this.eye[2];
    const depth = dx * this.forward[0] + dy * this.forward[1] + dz * this.forward[2];
    const scale = this.focal / depth;
    return [
      this.width / 2 + scale * (dx * this.right[0] + dy * this.right[1]),
      this.height / 2 - scale * (dx * this.up[0] + dy * this.up[1] + dz * this.up[2]),
      depth,
    ];
  }
  // The place that is seen at a pixel, when it lies at a depth.
  unproject(px, py, depth) {
    const a = ((px - this.width / 2) * depth) / this.focal, b = ((this.height / 2 - py) * depth) / this.focal;
    return this.eye.map((e, i) => e + depth * this.forward[i] + a * this.right[i] + b * this.up[i]);
  }
}

class PointPicture {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
  }
  draw(scene, camera, width, height) {
    if (this.width !== width || this.height !== height) {
      Object.assign(this, { width, height });
      [this.canvas.width, this.canvas.height] = [width, height];
      this.image = this.context.createImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
      this.depth = new Float32Array(width * height);
    }
    this.pixels.fill(0);
    this.depth.fill(Infinity);
    let first = 0, drawn = 0;
    scene.ends.forEach((end, group) => {
      if (!isBehind(scene, camera.eye, group)) drawn += this.splat(scene, camera, first, end);
      first = end;
    });
    this.shade();
    this.context.putImageData(this.image, 0, 0);
    return drawn;
  }
  splat(scene, camera, first, end) {
    const { positions, colors, radii, radius_unit: unit } = scene, { width, height, depth, pixels } = this;
    const { eye, forward, right, up, focal } = camera;
    let drawn = 0;
    for (let i = first; i < end; i++) {
      const dx = positions[3 * i] - eye[0], dy = positions[3 * i + 1] - eye[1], dz = positions[3 * i + 2] - eye[2];
      const far = dx * forward[0] + dy * forward[1] + dz * forward[2];
      if (far < NEAR) continue;
      const scale = focal / far;
      const x = width / 2 + scale * (dx * right[0] + dy * right[1]);
      const y = height / 2 - scale * (dx * up[0] + dy * up[1] + dz * up[2]);
      const half = Math.min(40, Math.max(0.5, unit * radii[i] * scale));
      const left = Math.max(0, Math.ceil(x - half)), rightmost = Math.min(width - 1, Math.floor(x + half));
      const top = Math.max(0, Math.ceil(y - half)), bottom = Math.min(height - 1, Math.floor(y + half));
      if (left > rightmost || top > bottom) continue;
      drawn++;
      const color = 0xff000000 | (colors[3 * i + 2] << 16) | (colors[3 * i + 1] << 8) | colors[3 * i];
      for (let row = top; row <= bottom; row++) {
        for (let at = row * width + left, last = row * width + rightmost; at <= last; at++) {
          if (far < depth[at]) {
            depth[at] = far;
            pixels[at] = color;
          }
        }
      }
    }
    return drawn;
  }
  // Eye-dome lighting (Boucheny 2009): a pixel is darker the more its neighbours stand before it.
  shade() {
    const { width, height, depth, pixels } = this;
    const steps = [1, -1, width, -width, 2, -2, 2 * width, -2 * width];
    for (let at = 2 * width; at < (height - 2) * width; at++) {
      const own = depth[at];
      if (own === Infinity) continue;
      let before = 0;
      for (const step of steps) {
        const other = depth[at + step];
        if (other < own) before += Math.min(0.06, (own - other) / own);
      }
      if (before < 0.004) continue;
      const light = Math.max(0.35, 1 - 3.2 * before), c = pixels[at];
      pixels[at] = 0xff000000 | (((c >> 16) & 255) * light << 16) | (((c >> 8) & 255) * light << 8) | ((c & 255) * light);
    }
  }
  depthAt(x, y) {
    const [column, row] = [Math.round(x), Math.round(y)];
    return column < 0 || row < 0 || column >= this.width || row >= this.height ? Infinity : this.depth[row * this.width + column];
  }
}

// Walls and ceiling that stand between the eye and the room are left out, as in a doll's house.
function isBehind(scene, eye, group) {
  const { low, high } = scene;
  return [false, eye[0] < low[0], eye[0] > high[0], eye[1] < low[1], eye[1] > high[1], eye[2] > high[2] - 0.3][group];
}
