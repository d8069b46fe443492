/** Every state of small clusters, with all that may go wrong in them. */
import { explore } from '../../../../src/runtime/seed/model/explore';
import type { Size } from '../../../../src/runtime/seed/model/world';

jest.setTimeout(120_000);

const base: Size = { hosts: 1, clients: [1], faults: 0, cycles: 0, reserved: true };

test.each<[string, Partial<Size>]>([
  ['two faults', { faults: 2 }],
  ['two faults, without reserved concurrency', { faults: 2, reserved: false }],
  ['a fault and a suspension or renewal', { faults: 1, cycles: 1, clients: [2] }],
  ['a fault and a suspension or renewal, without reserved concurrency', { faults: 1, cycles: 1, reserved: false }],
  ['two suspensions or renewals', { cycles: 2, clients: [2] }],
  ['a fault and two clients', { faults: 1, clients: [1, 1] }],
  ['a suspension or renewal and two clients', { cycles: 1, clients: [1, 1] }],
  ['a fault and a host that starts with the other', { faults: 1, hosts: 2, startWith: true }],
  ['a suspension or renewal and a host that starts with the other', { cycles: 1, hosts: 2, startWith: true }],
  ['a fault and hosts that are started with each other', { faults: 1, hosts: 2, edges: true }],
  ['a suspension or renewal and hosts that are started with each other', { cycles: 1, hosts: 2, edges: true }],
  ['an order to stop, and a suspension or renewal', { cycles: 1, orders: 1, clients: [2] }],
  ['an order to stop and a fault', { faults: 1, orders: 1, clients: [2] }],
  ['an order to stop and a fault, without reserved concurrency', { faults: 1, orders: 1, reserved: false }],
  ['two orders to stop', { cycles: 1, orders: 2 }],
  ['a fault and two hosts', { faults: 1, hosts: 2, clients: [2] }],
  ['a takeover, or another fault', { faults: 1, clients: [2], standby: true }],
  [
    'a takeover, or another fault, without reserved concurrency',
    { faults: 1, clients: [2], standby: true, reserved: false },
  ],
  ['an instance on two machines, and a fault', { machines: 2, faults: 1, clients: [2] }],
  ['an instance on one machine, and two faults', { machines: 1, faults: 2 }],
  ['an instance on one machine, and a takeover or another fault', { machines: 1, faults: 1, standby: true }],
  ['a takeover and a suspension or renewal', { faults: 1, cycles: 1, standby: true }],
])('%s: what must hold, holds', (_what, more) => {
  const { violation, whole } = explore({ ...base, ...more }, 100_000);
  expect(violation).toBeUndefined();
  expect(whole).toBe(true);
});
