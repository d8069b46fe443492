/** What was sent to a host on network `flat`, as the machine's kernel shows it: host and seed share their network. */

import { aliasAddress } from '../../../contract/abi/table';
import type { ManifestHost } from '../../../contract/manifest';
import { parseAddress } from '../../../contract/manifest';
import type { NativeAddon } from '../../../native/addon';
import type { Sent } from './waiting-data';

/** Columns of `NativeAddon.tcpSockets`. */
const [LOCAL, STATE, RECEIVE_QUEUE, BYTES, COOKIE, COLUMNS] = [0, 4, 6, 9, 10, 13];
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
    for (let row = 0; row < all.length; row += COLUMNS) {
      if (all[row + LOCAL] !== address || (all[row + STATE] !== ESTABLISHED && all[row + STATE] !== CLOSE_WAIT))
        continue;
      const key = `direct ${all[row + COOKIE]}`;
      found.push({ key, by: 'a peer', epoch: 0, bytes: all[row + BYTES], waits: all[row + RECEIVE_QUEUE] > 0 });
    }
    return found;
  };
}
