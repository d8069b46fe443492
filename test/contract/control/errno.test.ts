/**
 * Errors of asks go to guests as they are: as numbers that a connect can end with, and by which no program takes it for
 * unfinished.
 */
import { constants } from 'node:os';
import { ERRNO } from '../../../src/contract/control/errno';

test.each(Object.entries(ERRNO))('%s has its number on Linux', (name, number) => {
  expect(constants.errno[name as keyof typeof constants.errno]).toBe(number);
});

test.each(['EAGAIN', 'EWOULDBLOCK', 'EINPROGRESS', 'EALREADY', 'EINTR', 'EISCONN'] as const)(
  '%s ends no ask: the shim, or a program, would go on',
  (name) => {
    expect(Object.values(ERRNO)).not.toContain(constants.errno[name]);
  },
);
