import { isWithin, lastLine, paired, ratio, table } from '../../eval/lib/figures';

test('what is paired is the median of the ratios of each round, not the ratio of the medians', () => {
  // The machine was half as fast in the last two rounds: what is compared is not.
  const references = [100, 100, 100, 50, 50];
  const values = [98, 99, 90, 49, 49.5];
  const figure = paired('pages', '1/s', values, references, { least: 0.98 });
  expect(figure.figure).toBeCloseTo(0.98);
  expect(figure.spread).toEqual({ rounds: 5, low: 0.98, high: 0.99 });
  expect(isWithin(figure)).toBe(true);
  expect(isWithin(paired('pages', '1/s', [97, 97, 99], [100, 100, 100], { least: 0.98 }))).toBe(false);
});

test('the table and the last line have the spread of what was measured again and again', () => {
  const figures = [
    paired('pages', '1/s', [97, 98, 99, 100], [100, 100, 100, 100], { least: 0.98 }),
    ratio('others', 's', 1, 2, null),
  ];
  expect(table(figures).split('\n')[0]).toContain('half of the rounds');
  expect(table(figures)).toContain('| 0.98–0.99, of 4');
  expect(lastLine('social', figures)).toBe('social: 0.98 (≥ 0.98; 0.98–0.99, of 4)');
  expect(table([ratio('others', 's', 1, 2, null)])).not.toContain('half of the rounds');
});
