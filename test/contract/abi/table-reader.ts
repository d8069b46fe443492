import { HEADER, HOST, NAME, nameHash, PORT } from '../../../src/contract/abi/table';
import { formatAddress } from '../../../src/contract/manifest/address';

/** Reads a table as the shim does: by the offsets in its header alone. */
export function readTable(memory: ArrayBuffer) {
  const view = new DataView(memory);
  const u32 = (at: number) => view.getUint32(at, true);
  const text = (offset: number) => {
    const bytes = Buffer.from(memory, u32(HEADER.strings_offset) + offset);
    return bytes.toString('utf8', 0, bytes.indexOf(0));
  };
  return {
    u32,
    text,
    resolve(name: string): string | undefined {
      const capacity = u32(HEADER.names_capacity);
      for (let slot = nameHash(name) & (capacity - 1); ; slot = (slot + 1) & (capacity - 1)) {
        const at = u32(HEADER.names_offset) + slot * NAME.SIZE;
        if (u32(at + NAME.hash) === 0 && u32(at + NAME.name) === 0) return undefined;
        if (text(u32(at + NAME.name)) !== name) continue;
        return formatAddress(u32(u32(HEADER.hosts_offset) + u32(at + NAME.host) * HOST.SIZE + HOST.address));
      }
    },
    hosts: () =>
      Array.from({ length: u32(HEADER.hosts_count) }, (_, i) => {
        const at = u32(HEADER.hosts_offset) + i * HOST.SIZE;
        return {
          address: formatAddress(u32(at + HOST.address)),
          name: text(u32(at + HOST.name)),
          state: u32(at + HOST.state),
          real: formatAddress(u32(at + HOST.real)),
          epoch: Number(view.getBigUint64(at + HOST.epoch, true)),
        };
      }),
    ports: () =>
      Array.from({ length: u32(HEADER.ports_count) }, (_, i) => {
        const at = u32(HEADER.ports_offset) + i * PORT.SIZE;
        return {
          address: formatAddress(u32(at + PORT.address)),
          port: view.getUint16(at + PORT.port, true),
          realPort: view.getUint16(at + PORT.real_port, true),
          real: formatAddress(u32(at + PORT.real)),
          scope: u32(at + PORT.scope),
        };
      }),
  };
}
