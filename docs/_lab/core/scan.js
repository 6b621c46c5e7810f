/** The loop over time: carry a state through a sequence, one step after another. */

/**
 * @template Input, State
 * @param {(input: Input, state: State) => State} step returns the next state
 * @param {readonly Input[]} inputs one for each of L time steps
 * @param {State} state before the first step
 * @param {boolean} [reverse] whether it runs from the last time step to the first
 * @returns {{ states: State[], last: State }} the state after each step, in the order of the
 *   inputs, and after the step that ran last
 */
export function scan(step, inputs, state, reverse = false) {
  /** @type {State[]} */
  const states = [];
  for (const t of order(inputs.length, reverse)) {
    state = step(inputs[t], state);
    states[t] = state;
  }
  return { states, last: state };
}

/**
 * The time steps in the order in which a direction runs.
 * @param {number} L
 * @param {boolean} reverse
 */
export function order(L, reverse) {
  return Array.from({ length: L }, (_, t) => (reverse ? L - 1 - t : t));
}
