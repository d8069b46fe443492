/** Arithmetic that stands in C and in TypeScript: both get the same values. */
import { runC } from '../../../scripts/abi';
import { hiddenPort, plainPort } from '../../../src/contract/abi/shim';
import { aliasAddress, layoutTable, SANDBOX_ALIASES, writeTable } from '../../../src/contract/abi/table';
import { parseAddress } from '../../../src/contract/manifest/address';
import { pairedSequence } from '../../../src/runtime/transport/punched/ports';

jest.setTimeout(120_000);

const numbers = (text: string) => text.trim().split(/\s+/).map(Number);
const NAMES = ['web', 'a', 'redis-1', 'h'.repeat(63), ...Array.from({ length: 200 }, (_, i) => `worker-${i}`)];

test('addresses, ports and names, as the shim has them', () => {
  const directory = NAMES.map((name, nodeId) => ({ name, aliases: [], address: `100.64.${nodeId}.7`, nodeId }));
  const self = directory[2];
  const layout = layoutTable({ cluster: 'shop', cidr: '100.64.0.0/16', self, directory, aliases: SANDBOX_ALIASES });
  const table = new ArrayBuffer(layout.size);
  writeTable(table, layout);
  const printed = numbers(
    runC(
      `#define _GNU_SOURCE
       #include "core/addr.c"
       #include "core/alias.c"
       #include "core/table.c"
       static const char *const names[] = {${NAMES.map((name) => `"${name}"`)}};
       int main(void) {
         static _Alignas(8) char map[1 << 20];
         if (!usable(map, fread(map, 1, sizeof map, stdin))) return 1;
         for (uint32_t port = 1; port < 65536; port++)
           printf("%u %u\\n", alias_hidden_port((uint16_t)port), alias_plain_port((uint16_t)port));
         for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
           struct im_location found = {0};
           table_find_name(names[i], &found);
           uint32_t alias = alias_of(found.address), back = 0;
           alias_virtual(alias, &back);
           printf("%u %u %u\\n", found.address, alias, back);
         }
         printf("%u %u\\n", alias_host(), alias_loop());
       }`,
      new Uint8Array(table),
    ),
  );
  const own = parseAddress(self.address)!;
  expect(printed).toEqual([
    ...Array.from({ length: 65_535 }, (_, i) => [hiddenPort(i + 1), plainPort(i + 1)]).flat(),
    ...directory.flatMap(({ address }) => {
      const virtual = parseAddress(address)!;
      return [virtual, aliasAddress(SANDBOX_ALIASES, virtual), virtual];
    }),
    ...[aliasAddress(SANDBOX_ALIASES, own), aliasAddress(SANDBOX_ALIASES + 1, own)],
  ]);
});

test("the ports of a signalling channel's other side, as the connector has them", () => {
  const [first, count, rounds] = [200, 8, 50];
  const printed = runC(
    `#include "connector/signalling.c"
     #include <stdio.h>
     int main(void) {
       static struct im_connection connection = {.what = {.their_first = ${first}, .their_count = ${count}}};
       static struct im_signalling channel = {.connection = &connection};
       for (int i = 0; i < ${rounds}; i++) printf("%u\\n", next_to(&channel));
     }`,
  );
  jest.spyOn(Math, 'random').mockReturnValue(0);
  const next = pairedSequence([first, count]);
  expect(numbers(printed)).toEqual(Array.from({ length: rounds }, next));
});
