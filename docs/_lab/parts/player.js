/** Play, pause, step and scrub: the time of an element. Nothing moves until the reader asks. */

import { button, make } from "./dom.js";

const PAUSE = 1200; // milliseconds from one position to the next

export class Player {
  /**
   * @param {(position: number) => void} show
   * @param {(position: number) => string} said what a screen reader says of a position
   */
  constructor(show, said) {
    this.show = show;
    this.said = said;
    this.timer = 0;
    this.slider = make("input", { type: "range", min: "0", max: "0", value: "0", step: "1" });
    this.slider.setAttribute("aria-label", "Position");
    this.toggle = button("Play", () => (this.timer ? this.pause() : this.play()));
    this.element = make(
      "div",
      { class: "u-lab-player", role: "group", "aria-label": "Time" },
      button("Back", () => this.go(this.position - 1)),
      this.toggle,
      button("Forward", () => this.go(this.position + 1)),
      this.slider,
    );
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)));
  }

  get position() {
    return Number(this.slider.value);
  }

  get last() {
    return Number(this.slider.max);
  }

  /**
   * @param {number} count of positions
   * @param {number} [at]
   */
  restart(count, at = 0) {
    this.pause();
    this.slider.max = String(count - 1);
    this.go(at);
  }

  /** @param {number} position */
  go(position) {
    const to = Math.max(0, Math.min(this.last, position));
    this.slider.value = String(to);
    this.slider.setAttribute("aria-valuetext", this.said(to));
    if (to === this.last) {
      this.pause();
    }
    this.show(to);
  }

  play() {
    if (this.position === this.last) {
      this.go(0);
    }
    this.toggle.textContent = "Pause";
    this.timer = setInterval(() => this.go(this.position + 1), PAUSE);
  }

  pause() {
    clearInterval(this.timer);
    this.timer = 0;
    this.toggle.textContent = "Play";
  }
}
