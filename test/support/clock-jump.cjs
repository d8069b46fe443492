/**
 * For `node --require`: the time of day that the process sees is wrong by as many milliseconds as the file says that
 * `IMAGINARY_TEST_CLOCK` names, from the moment on that it says so. What counts time that passes is as it is.
 */
const { readFileSync } = require('node:fs');

const Real = Date;

function jump() {
  try {
    return Number(readFileSync(process.env.IMAGINARY_TEST_CLOCK, 'latin1'));
  } catch {
    return 0;
  }
}

class Jumping extends Real {
  constructor(...given) {
    super(...(given.length === 0 ? [Jumping.now()] : given));
  }

  static now() {
    return Real.now() + jump();
  }
}

globalThis.Date = Jumping;
