/** Clients on their way to a host: so many at once, the others in the order they came. */
import { Joins } from '../../../../src/runtime/seed/ingress/joins';

test('a bounded number is started for each host, and the next one at each end', () => {
  const joins = new Joins(2);
  const started: string[] = [];
  const begin = (host: string, name: string) => joins.begin(host, () => started.push(name));
  for (const name of ['a', 'b', 'c', 'd']) begin('web', name);
  begin('db', 'x');
  expect(started).toEqual(['a', 'b', 'x']);
  joins.end('web');
  expect(started).toEqual(['a', 'b', 'x', 'c']);
  for (let i = 0; i < 3; i++) joins.end('web');
  expect(started).toEqual(['a', 'b', 'x', 'c', 'd']);
  for (const name of ['e', 'f', 'g']) begin('web', name);
  expect(started.slice(5)).toEqual(['e', 'f']);
  joins.end('nobody');
});
