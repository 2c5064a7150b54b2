// Zoom, pan, red-free view and the heatmap's opacity of one photograph. Without a script the picture is shown as it is.
const LEAST = 1, MOST = 12, STEP = 1.25, MOVE = 40;

class Viewer {
  constructor(figure) {
    this.box = figure.querySelector(".viewer");
    this.stack = this.box.querySelector(".stack");
    this.reset();
    this.box.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? STEP : 1 / STEP, event.offsetX, event.offsetY);
    }, { passive: false });
    this.box.addEventListener("pointerdown", (event) => this.drag(event));
    this.box.addEventListener("keydown", (event) => this.key(event));
    for (const button of figure.querySelectorAll("[data-do]")) {
      button.addEventListener("click", () => this.command(button.dataset.do, button));
    }
    const heat = figure.querySelector("[data-heat]");
    if (heat) heat.addEventListener("input", () => this.box.style.setProperty("--heat", heat.value / 100));
  }

  reset() { this.scale = 1; this.x = 0; this.y = 0; this.show(); }

  show() {
    const { clientWidth: width, clientHeight: height } = this.box;
    this.x = Math.min(0, Math.max(this.x, width * (1 - this.scale)));
    this.y = Math.min(0, Math.max(this.y, height * (1 - this.scale)));
    this.stack.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
  }

  // The point under the pointer stays where it is.
  zoom(by, x = this.box.clientWidth / 2, y = this.box.clientHeight / 2) {
    const scale = Math.min(MOST, Math.max(LEAST, this.scale * by)), ratio = scale / this.scale;
    this.x = x - (x - this.x) * ratio;
    this.y = y - (y - this.y) * ratio;
    this.scale = scale;
    this.show();
  }

  move(x, y) { this.x += x; this.y += y; this.show(); }

  drag(event) {
    if (event.button) return;
    let { clientX: x, clientY: y } = event;
    this.box.setPointerCapture(event.pointerId);
    this.box.classList.add("dragged");
    const moved = (next) => { this.move(next.clientX - x, next.clientY - y); x = next.clientX; y = next.clientY; };
    this.box.addEventListener("pointermove", moved);
    this.box.addEventListener("pointerup", () => {
      this.box.removeEventListener("pointermove", moved);
      this.box.classList.remove("dragged");
    }, { once: true });
  }

  key(event) {
    const keys = {
      "+": () => this.zoom(STEP), "=": () => this.zoom(STEP), "-": () => this.zoom(1 / STEP), "0": () => this.reset(),
      ArrowLeft: () => this.move(MOVE, 0), ArrowRight: () => this.move(-MOVE, 0),
      ArrowUp: () => this.move(0, MOVE), ArrowDown: () => this.move(0, -MOVE),
    };
    if (keys[event.key]) { keys[event.key](); event.preventDefault(); }
  }

  command(name, button) {
    if (name === "in") this.zoom(STEP);
    if (name === "out") this.zoom(1 / STEP);
    if (name === "whole") this.reset();
    if (name === "red-free") button.setAttribute("aria-pressed", String(this.box.classList.toggle("red-free")));
  }
}

for (const figure of document.querySelectorAll("[data-viewer]")) new Viewer(figure);
for (const button of document.querySelectorAll("[data-print]")) button.addEventListener("click", () => window.print());
