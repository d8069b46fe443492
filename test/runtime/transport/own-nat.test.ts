/** What a member finds out about its NAT, and when: the data port answers as it does behind a NAT that preserves ports. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { parseAddress } from '../../../src/contract/manifest/address';
import type { NatReport, Observation } from '../../../src/contract/peer/peer-messages';
import { Knocks } from '../../../src/runtime/seed/members/knocks';
import type { Knock } from '../../../src/runtime/transport/nat/knock';
import { OwnNat } from '../../../src/runtime/transport/own-nat';
import { eventually } from '../../support/eventually';

const HERE = '127.65.22.1';
const PUBLIC = '198.51.100.7';
const never = new AbortController().signal;

let dataPort: Server;
let knocks: Knocks;
/** As the NAT has it now. */
let address: string;
let localPort = 30_000;
beforeEach(async () => {
  address = PUBLIC;
  knocks = new Knocks();
  dataPort = createServer((socket) => {
    const answer = Buffer.alloc(6);
    answer.writeUInt32BE(parseAddress(address)!);
    answer.writeUInt16BE(socket.remotePort!, 4);
    socket.on('error', () => undefined).once('data', () => socket.write(answer));
  });
  dataPort.listen(0, HERE);
  await once(dataPort, 'listening');
});
afterEach(() => {
  knocks.close();
  dataPort.close();
});

/** Another control connection each time. */
function seen(): Observation {
  localPort += 1;
  return {
    local: { address: HERE, port: localPort },
    observed: { address, port: localPort },
    dataPort: { address: HERE, port: (dataPort.address() as AddressInfo).port },
    ports: [10_240, 704],
  };
}

function member() {
  const nat = new OwnNat();
  const reports: string[] = [];
  let asked = 0;
  const arrives: Knock = (port, secret) => {
    asked += 1;
    knocks.knock('vm', HERE, port, secret);
  };
  const onReport = ({ kind, reflexiveAddress }: NatReport) => void reports.push(`${kind} ${reflexiveAddress}`);
  return {
    nat,
    reports,
    asked: () => asked,
    join: (knock: Knock = arrives) => nat.join(seen(), { signal: never, onReport, knock }),
    joinUnasked: () => nat.join(seen(), { signal: never, onReport }),
  };
}

test('that it is open is reported when it is heard; what waits for the report does not wait for that', async () => {
  const { nat, reports, join } = member();
  const late: Array<() => void> = [];
  join((port, secret) => void late.push(() => knocks.knock('vm', HERE, port, secret)));
  expect(await nat.report()).toMatchObject({ kind: 'port-preserving' });
  await eventually(() => late.length === 1);
  expect(reports).toEqual([`port-preserving ${PUBLIC}`]);
  late[0]();
  await eventually(() => reports.length === 2);
  expect(reports[1]).toBe(`one-to-one ${PUBLIC}`);
  expect(nat.now()).toMatchObject({ kind: 'one-to-one', localAddress: HERE });
  expect(await nat.report()).toEqual(nat.now());
});

test('a member that nobody may reach is not knocked at', async () => {
  const { nat, reports, asked, joinUnasked } = member();
  joinUnasked();
  expect(await nat.report()).toMatchObject({ kind: 'port-preserving' });
  expect(reports).toEqual([`port-preserving ${PUBLIC}`]);
  expect(asked()).toBe(0);
});

test('it joins again behind the same address: it stays open, and is not knocked at again', async () => {
  const { nat, reports, asked, join } = member();
  join();
  await eventually(() => reports.length === 2);
  join();
  expect(nat.now()).toMatchObject({ kind: 'unknown' });
  expect(await nat.report()).toMatchObject({ kind: 'one-to-one' });
  expect(reports.slice(2)).toEqual([`one-to-one ${PUBLIC}`]);
  expect(asked()).toBe(1);
});

test('under another address it has to be heard again', async () => {
  const { reports, join } = member();
  join();
  await eventually(() => reports.length === 2);
  address = '198.51.100.8';
  join();
  await eventually(() => reports.length === 4);
  expect(reports.slice(2)).toEqual(['port-preserving 198.51.100.8', 'one-to-one 198.51.100.8']);
});

test('a knock that was asked for before it joined again says nothing', async () => {
  const { nat, reports, join } = member();
  const late: Array<() => void> = [];
  join((port, secret) => void late.push(() => knocks.knock('vm', HERE, port, secret)));
  await eventually(() => late.length === 1);
  address = '198.51.100.8';
  join(() => undefined);
  await nat.report();
  late[0]();
  // It would have been heard before this one.
  await eventually(() => nat.now().kind === 'port-preserving');
  join();
  await eventually(() => nat.now().kind === 'one-to-one');
  expect(reports.filter((report) => report.startsWith('one-to-one'))).toEqual(['one-to-one 198.51.100.8']);
});
