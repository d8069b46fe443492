import { NOT_POOLED, withPaths } from '../lib/path';
import { absoluteRow, type Row, type Suite } from '../lib/rows';

const CONNECTS = 1000;

/** All hosts and clients behind that kind of NAT; whether two of them can be punched. */
const KINDS = [
  { nat: 'port-preserving', punched: true },
  { nat: 'endpoint-independent', punched: true },
  { nat: 'shared', punched: true },
  { nat: 'port-preserving+no-udp', punched: true },
  { nat: 'symmetric', punched: false },
];

/** Whether connections come about at all, whatever is between the two sides. */
export const kinds: Suite = {
  name: 'kinds',
  title: `${CONNECTS} connections through each kind of NAT, none kept ready: how many failed, and how many had to be relayed`,
  async run(progress) {
    const rows: Row[] = [];
    for (const { nat, punched } of KINDS) {
      progress(nat);
      rows.push(
        ...(await withPaths(1, [nat], async (paths) => {
          const client = await paths.guest('server-0', NOT_POOLED);
          await client.measure('connect 1 blocking');
          const relayed = async () =>
            (await paths.cluster.events()).filter(({ event }) => event === 'relay-started').length;
          const before = await relayed();
          const { failed } = await client.measure(`connect ${CONNECTS} blocking`);
          const after = await relayed();
          await client.close();
          return [
            absoluteRow(`${nat}: failed, of ${CONNECTS}`, '', failed, 0),
            absoluteRow(`${nat}: relayed, of ${CONNECTS}`, '', after - before, punched ? 0 : null),
          ];
        })),
      );
    }
    return rows;
  },
};
