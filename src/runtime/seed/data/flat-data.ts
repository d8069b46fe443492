/** What was sent to a host on network `flat`, as the machine's kernel shows it: host and seed share their network. */

import { aliasAddress } from '../../../contract/abi/table';
import type { ManifestHost } from '../../../contract/manifest';
import { parseAddress } from '../../../contract/manifest';
import type { NativeAddon } from '../../../native/addon';
import { TCP_COLUMNS, TCP_ROW } from '../../../native/addon/tcp-rows';
import type { Sent } from './waiting-data';

const { local, state, receiveQueue, bytes, cookie } = TCP_COLUMNS;
const [ESTABLISHED, CLOSE_WAIT] = [1, 8];

/** @returns sentTo: the host's open connections. Nothing where the kernel has no sock_diag */
export function flatData(
  flat: number,
  native: Pick<NativeAddon, 'tcpSockets'>,
  entryOf: (host: string) => Pick<ManifestHost, 'address'> | undefined,
): (host: string) => Sent[] {
  let rows: { readonly all: Float64Array; readonly at: number } | undefined;
  /** One look for all hosts of a round. */
  const look = () => {
    const at = performance.now();
    if (!rows || at - rows.at > 10) rows = { all: native.tcpSockets(false) ?? new Float64Array(), at };
    return rows.all;
  };
  return (host) => {
    const entry = entryOf(host);
    if (!entry) return [];
    const address = aliasAddress(flat, parseAddress(entry.address)!);
    const all = look();
    const found: Sent[] = [];
    for (let row = 0; row < all.length; row += TCP_ROW) {
      if (all[row + local] !== address || (all[row + state] !== ESTABLISHED && all[row + state] !== CLOSE_WAIT))
        continue;
      const key = `direct ${all[row + cookie]}`;
      found.push({ key, by: 'a peer', epoch: 0, bytes: all[row + bytes], waits: all[row + receiveQueue] > 0 });
    }
    return found;
  };
}
