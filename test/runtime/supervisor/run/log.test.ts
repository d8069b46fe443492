import { createLog, forwardLines } from '../../../../src/runtime/supervisor/run/log';

function capture() {
  const written: string[] = [];
  const forwarder = forwardLines('web', 'stdout', (text) => written.push(text));
  const parsed = () =>
    written
      .join('')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  return { written, forwarder, lines: () => parsed().map((entry) => entry.line), parsed };
}

test('lines are told apart however they are split, also inside a character', () => {
  const { forwarder, lines, parsed, written } = capture();
  const bytes = Buffer.from('one\r\ntwo ✓\nthree');
  for (const byte of bytes) forwarder.push(Buffer.from([byte]));
  expect(lines()).toEqual(['one', 'two ✓']);
  forwarder.end();
  expect(lines()).toEqual(['one', 'two ✓', 'three']);
  expect(parsed()[0]).toMatchObject({ host: 'web', stream: 'stdout' });
  forwarder.push(Buffer.from('a\nb\nc\n'));
  expect(written).toHaveLength(4);
});

test('a line without an end is cut, not kept', () => {
  const { forwarder, lines } = capture();
  forwarder.push(Buffer.alloc(200_000, 'x'));
  forwarder.end();
  expect(lines().map((line) => line.length)).toEqual([65_536, 65_536, 65_536, 200_000 - 3 * 65_536]);
});

test("the supervisor's own lines", () => {
  let text = '';
  createLog('web', (line) => {
    text += line;
  })('warn', 'something', { port: 80 });
  expect(JSON.parse(text)).toMatchObject({ level: 'warn', host: 'web', message: 'something', port: 80 });
});
