/** The list of members at the seed: what followers are sent, in which parts, and what waits for one that is slow. */

import type { FromSeed } from '../../../../src/contract/control/from-seed';
import { type MemberEntry, MOST_MEMBERS } from '../../../../src/contract/control/membership';
import { Membership } from '../../../../src/runtime/seed/members/membership';

type Frame = Extract<FromSeed, { type: 'members' }>;
const entry = (id: number, state: MemberEntry['state'] = 'joined', epoch = 1): MemberEntry => ({
  ...{ id, name: `host-${id}`, address: '100.64.0.1', epoch, state },
});

function membership() {
  const sent: Array<{ readonly member: number; readonly frame: Frame }> = [];
  const hosts: string[] = [];
  const list = new Membership({
    send: (member, frame) => sent.push({ member, frame: frame as Frame }),
    onHost: (name, present, count) => hosts.push(`${present ? '+' : '-'}${name} ${count}`),
  });
  return { sent, hosts, list };
}

test('nothing is sent before the seed knows who is there', () => {
  const { sent, list } = membership();
  list.follow(1, 1);
  list.changed(entry(0), true);
  expect(sent).toEqual([]);
  list.open();
  expect(sent).toEqual([{ member: 1, frame: { type: 'members', id: 1, members: [entry(0)], complete: true } }]);
});

test('a long list comes in parts, one at a time, and ends with what has changed meanwhile', () => {
  const { sent, list } = membership();
  list.open();
  const many = 2 * MOST_MEMBERS + 1;
  for (let id = 0; id < many; id++) list.changed(entry(id), true);
  list.follow(1, 7);
  list.changed(entry(many - 1, 'left'), true);
  expect(sent).toHaveLength(1);
  for (let i = 0; i < 5; i++) list.next(1, 7);
  const parts = sent.map(({ frame: { members, complete } }) => [members.length, complete]);
  expect(parts).toEqual([
    [MOST_MEMBERS, false],
    [MOST_MEMBERS, false],
    [1, true],
  ]);
  expect(sent[2].frame.members).toEqual([entry(many - 1, 'left')]);
});

test('for a follower that does not answer, changes are merged: one for each member waits', () => {
  const { sent, list } = membership();
  list.open();
  list.follow(1, 1);
  for (let epoch = 1; epoch <= 1_000; epoch++) {
    list.changed(entry(0, 'joined', epoch), true);
    list.changed(entry(0, 'suspended', epoch), true);
  }
  expect(sent).toHaveLength(1);
  list.next(1, 1);
  expect(sent.map(({ frame }) => frame.members)).toEqual([[], [entry(0, 'suspended', 1_000)]]);
});

test('what answers another list than the present one is not heard', () => {
  const { sent, list } = membership();
  list.open();
  list.follow(1, 1);
  list.follow(1, 2);
  list.changed(entry(0), true);
  list.next(1, 1);
  expect(sent).toHaveLength(2);
  list.next(1, 2);
  expect(sent).toHaveLength(3);
  list.next(1, 2);
  list.next(1, 2);
  expect(sent).toHaveLength(3);
});

test('a host counts from its join until it is gone, suspended or not; a client does not', () => {
  const { hosts, list } = membership();
  list.changed(entry(0), true);
  list.changed(entry(0, 'suspended'), true);
  list.changed(entry(0, 'joined', 2), true);
  list.changed({ ...entry(9), name: 'client-1' }, false);
  list.changed(entry(1, 'left'), true);
  list.changed(entry(0, 'left'), true);
  expect(hosts).toEqual(['+host-0 1', '-host-0 0']);
});

test('a join costs those nothing that do not follow', () => {
  const { sent, list } = membership();
  list.open();
  list.follow(1, 1);
  list.end(1);
  list.follow(2, 1);
  list.forget(2);
  sent.length = 0;
  list.changed(entry(0), true);
  expect(sent).toEqual([]);
});

test('a client is gone by its name', () => {
  const { sent, list } = membership();
  list.open();
  const client = { ...entry(9), name: 'client-1', epoch: 0 };
  list.changed(client, false);
  list.clientGone('client-1');
  list.clientGone('client-1');
  list.follow(1, 1);
  expect(sent[0].frame.members).toEqual([]);
});
