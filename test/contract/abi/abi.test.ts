/** Compares TypeScript's view of src/contract/abi/abi.h with what a C compiler says about that header. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import * as shim from '../../../src/contract/abi/shim';
import * as table from '../../../src/contract/abi/table';
import { parseAddress } from '../../../src/contract/manifest/address';

jest.setTimeout(120_000);

const root = resolve(__dirname, '../../..');
const structures = {
  im_table_header: table.HEADER,
  im_host: table.HOST,
  im_name: table.NAME,
  im_port: table.PORT,
  im_request: shim.REQUEST,
  im_reply: shim.REPLY,
};
const sizes = {
  im_table_header: table.HEADER_SIZE,
  im_host: table.HOST_SIZE,
  im_name: table.NAME_SIZE,
  im_port: table.PORT_SIZE,
  im_request: shim.REQUEST_SIZE,
  im_reply: shim.REPLY_SIZE,
};
const numbers: Record<string, number> = {
  IM_VERSION: shim.ABI_VERSION,
  IM_TABLE_MAGIC: table.TABLE_MAGIC,
  IM_REQUEST_MAGIC: shim.REQUEST_MAGIC,
  IM_REPLY_MAGIC: shim.REPLY_MAGIC,
  IM_SOCKETS_SIZE: shim.SOCKETS_SIZE,
  IM_FILES_MOST: shim.FILES_MOST,
  IM_LOCATE: table.HOST_STATE.locate,
  IM_DIRECT: table.HOST_STATE.direct,
  IM_HANDOFF: table.HOST_STATE.handoff,
  IM_SCOPE_ANY: shim.SCOPES.indexOf('any'),
  IM_SCOPE_HOST: shim.SCOPES.indexOf('host'),
  IM_SCOPE_LOOPBACK: shim.SCOPES.indexOf('loopback'),
  IM_SCOPE_LOOPBACK6: shim.SCOPES.indexOf('loopback6'),
  IM_REAL_LOOPBACK6: shim.REAL_LOOPBACK6,
  IM_OP_CONNECT: shim.OP.connect,
  IM_OP_LISTEN: shim.OP.listen,
  IM_OP_STALE: shim.OP.stale,
  IM_OP_LOG: shim.OP.log,
  IM_OP_DATAGRAM: shim.OP.datagram,
  IM_OP_ACCEPT: shim.OP.accept,
  IM_SCOPE_DATAGRAM: shim.SCOPE_DATAGRAM,
  IM_LOW_PORTS: shim.LOW_PORTS,
  IM_TRAFFIC_OFFSET: shim.TRAFFIC_OFFSET,
  IM_RESOLVER: parseAddress(shim.RESOLVER_ADDRESS)!,
  IM_RESOLVER_PORT: shim.RESOLVER_PORT,
  IM_FLAG_NONBLOCK: shim.FLAG_NONBLOCK,
  IM_FLAG_LISTED: shim.FLAG_LISTED,
  IM_FLAG_READY: shim.FLAG_READY,
  IM_TRANSPORT_DIRECT: shim.TRANSPORT_DIRECT,
  IM_TRANSPORT_HANDOFF: shim.TRANSPORT_HANDOFF,
};
const strings: Record<string, string> = {
  IM_ENV_DIR: shim.RUN_DIR_ENV,
  IM_TABLE_FILE: shim.TABLE_FILE,
  IM_SOCKETS_FILE: shim.SOCKETS_FILE,
  IM_SHIM_SOCKET: shim.SHIM_SOCKET,
  IM_FILES_FILE: shim.FILES_FILE,
  IM_FILES_MAGIC: shim.FILES_MAGIC,
};

/** What we believe, as the C program prints it. */
function ours(): string[] {
  return [
    ...Object.entries(structures).flatMap(([name, fields]) => [
      ...Object.entries(fields).map(([field, offset]) => `${name}.${field} ${offset}`),
      `${name} ${sizes[name as keyof typeof sizes]}`,
    ]),
    ...Object.entries(numbers).map(([name, value]) => `${name} ${value}`),
    ...Object.entries(strings).map(([name, value]) => `${name} ${value}`),
  ];
}

test('the shim and the supervisor agree on every offset, size and constant', () => {
  const source = [
    '#include <stddef.h>',
    '#include <stdio.h>',
    '#include "abi.h"',
    'int main(void) {',
    ...Object.entries(structures).flatMap(([name, fields]) => [
      ...Object.keys(fields).map((field) => `  printf("${name}.${field} %zu\\n", offsetof(struct ${name}, ${field}));`),
      `  printf("${name} %zu\\n", sizeof(struct ${name}));`,
    ]),
    ...Object.keys(numbers).map((name) => `  printf("${name} %llu\\n", (unsigned long long)${name});`),
    ...Object.keys(strings).map((name) => `  printf("${name} %s\\n", ${name});`),
    '}',
  ];
  const folder = mkdtempSync(join(tmpdir(), 'imaginary-abi-'));
  try {
    writeFileSync(join(folder, 'abi.c'), source.join('\n'));
    const zig = require.resolve(`@zigc/${process.platform}-${process.arch}/bin/zig`);
    const cache = join(root, 'node_modules', '.cache', 'zig');
    const env = { ...process.env, ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache };
    const flags = ['cc', '-std=c11', '-Wall', '-Wextra', '-Werror', '-I', join(root, 'src/contract/abi')];
    execFileSync(zig, [...flags, '-o', join(folder, 'abi'), join(folder, 'abi.c')], { env });
    const theirs = execFileSync(join(folder, 'abi'), { encoding: 'utf8' }).trim().split('\n');
    expect(theirs).toEqual(ours());
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
