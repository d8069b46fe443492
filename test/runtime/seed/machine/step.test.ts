/** The step of a host's machine, by table: every event in every state. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { step } from '../../../../src/runtime/seed/machine/step';
import { EVENTS, moment, STATES, summary } from './samples';

/**
 * Rows are events, columns states: see `samples.ts`. A cell is what `summary` gives: `.` is an event that must change
 * nothing.
 */
const TABLE = `
                      I     Iw    Ii    A     Aj    Al    Ar    R     Rs    Rl    Ra    Rg    Rr    Ri    S     Sr    F
locate 80             I?    I?    I-    A     A     Al    A     R+    R-    Rl    R+>   Rg    Rl    R+    S?    Sr    F-
locate 81             I?    I?    I-    A     A     Al    A     R     R-    Rl    R>    Rg    Rl    R     S?    Sr    F-
locate 80/udp         I?    I?    I-    A     A     Al    A     R     R+    Rl    R>    Rg    Rl    R     S?    Sr    F-
cancel                .     I     .     A     A     Al    A     .     .     .     .     .     .     .     .     .     .
gone                  .     I     .     A     A     Al    A     .     .     .     .     .     .     .     .     .     .
wake                  .     I?    .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
startGranted          A!    A!    .     .     .     .     .     .     .     .     .     .     .     .     A!    .     .
startDenied           I     I-    .     .     .     .     .     .     .     .     .     .     .     .     S     .     .
join again            A     A     A     A     Ax    A     A     R>x   R>x   R>    R>x   R>x   R>    R>x   A     Srx   A
join, life b          A     A     A     A     Ax    Alx   A     Rx    Rx    Rlx   Rax   Rgx   A>    Rx    Sx    Srx   A
join, life b, guests  A     A     A     A     Ax    Alx   Ax    Rx    Rx    Rlx   Rax   Rgx   Rlx   Rx    Sx    Srx   A
join, older epoch     A     A     A     A     Ax    Alx   Ax    Rx    Rx    Rlx   Rax   Rgx   Rlx   Rx    Sx    Srx   A
join, newer epoch     A     A     A     A     Ax    A     A     Ax    Ax    A     Ax    Ax    A     Ax    A     A     A
ports none            .     .     .     .     A     .     .     R>    R>    .     Ra>   Rg>   .     R>    .     .     .
ports 80, 81          .     .     .     .     R+>   .     .     R>    R>    .     Ra>   Rg>   .     R>    .     .     .
ports settled         .     .     .     .     R>    .     .     R>    R     .     Ra>   Rg>   .     R>    .     .     .
ports of other        .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
natReport             .     .     .     .     A     .     .     R>    R>    .     Ra>   Rg>   .     R>    .     .     .
natReport of other    .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
report started        .     .     .     .     A     .     .     R     R     .     Ra    Rg    .     R     .     .     .
report other          .     .     .     .     A     .     .     R     R     .     Ra    Rg    .     R     .     .     .
report of other       .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
suspend               .     .     .     .     A     .     .     Ra>   Ra>   .     .     .     .     R     .     .     .
suspend of other      .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
stay                  .     .     .     .     .     .     .     .     .     .     .     R>    .     .     .     .     .
stay of other         .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
leave suspended       .     .     .     .     S?>   .     .     S>    S>    .     S     S     .     S>    .     .     .
leave exited 0        .     .     .     .     F->   .     .     I>    I>    .     I>    I>    .     I>    .     .     .
leave exited 1        .     .     .     .     F->   .     .     F>    F>    .     F>    F>    .     F>    .     .     .
leave released        .     .     .     .     I?>   .     .     I>    I>    .     I>    I>    .     I>    .     .     .
leave fenced          .     .     .     .     F->   .     .     F>    F>    .     F>    F>    .     F>    .     .     .
leave renew           .     .     .     .     Al    .     .     Rl    Rl    .     Ral   Rgl   .     Rl    .     .     .
leave of other        .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
lost                  .     .     .     .     Al    .     .     Rl    Rl    .     Rl>   Rgl   .     Rl    .     .     .
lost of other         .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
acks 0                .     .     .     .     .     .     .     .     .     .     Rg    .     .     .     .     .     .
acks 2                .     .     .     .     .     .     .     .     .     .     Ra    .     .     .     .     .     .
sent                  I     I     I     A     A     Al    A     R     R     Rl    Ra    Rg    Rl    R     S     Sr    F
throttled             I     I     I     A     A     Al    A     R     R     Rl    Ra    Rg    Rl    R     S     Sr    F
throttled release     I     I     I     A     A     Al    A     R     R     Rl    Ra    Rg    Rl    R     S     I>    F
ended suspended       .     .     .     S?>   S?>   S?>   .     S>    S>    S>    S     S     S>    S>    S     .     F
ended exited 0        .     .     .     F->   F->x  F->   .     I>x   I>x   I>    I>x   I>x   I>    I>x   S     .     F
ended exited 1        .     .     .     F->   F->x  F->   .     F>x   F>x   F>    F>x   F>x   F>    F>x   S     .     F
ended released        .     .     .     I?>   I?>x  I?>   .     I>x   I>x   I>    I>x   I>x   I>    I>x   S     .     F
ended fenced          .     .     .     F->   A     Al    .     R     R     Rl    Ra    Rg    Rl    R     S     .     F
ended renew           .     .     .     A!    A!    Al!   .     R!    R!    Rl!   Ra!   Rg!   Rl!   .     S     .     F
ended error           .     .     .     F->   F->x  F->   .     F>x   F>x   F>    F>x   F>x   F>    F>x   S     .     F
ended broken          .     .     .     F->   A     F->   .     R     R     F>    Ra    Rg    F>    R     S     .     F
ended denied          .     .     .     F->   F->x  F->   .     F>x   F>x   F>    F>x   F>x   F>    F>x   S     .     F
ended release         .     .     .     .     .     .     A     .     .     .     .     .     .     .     .     I>    .
ended older           .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
timer deadline        .     .     .     F->   R>    Rl>   F->   .     .     .     .     .     .     .     .     .     .
timer lost            .     .     .     .     .     F->   .     .     .     F>    .     .     F>    .     .     .     .
timer expect          .     .     .     .     .     .     .     R     .     Rl    Ra    Rg    Rl    R     .     .     .
timer acks            .     .     .     .     .     .     .     .     .     .     Rg    .     .     .     .     .     .
timer release         .     .     .     .     .     .     .     .     .     .     .     .     .     .     Sr!   .     .
timer retry           .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     I>
timer wait            .     I-    .     A-    A-    Al-   A-    .     .     .     .     .     .     .     .     .     .
`;

const [header, ...lines] = TABLE.trim().split('\n');
const columns = header.trim().split(/\s+/);
const rows = new Map(lines.map((line) => [line.slice(0, 22).trim(), line.slice(22).trim().split(/\s+/)]));

test('the table has every event and every state', () => {
  expect([...rows.keys()]).toEqual(Object.keys(EVENTS));
  expect(columns).toEqual(Object.keys(STATES));
});

test.each(Object.entries(EVENTS))('%s', (name, event) => {
  const cells = Object.values(STATES).map((state) => summary(state, step(state, event, moment(10))));
  expect(cells).toEqual(rows.get(name));
});

const machine = join(__dirname, '../../../../src/runtime/seed/machine');
const pure = readdirSync(machine).filter((name) => name.endsWith('.ts') && name !== 'interpreter.ts');

test.each(pure)('%s has no timer, clock, chance or process of its own', (name) => {
  const source = readFileSync(join(machine, name), 'utf8');
  expect(source).not.toMatch(/setTimeout\(|setImmediate|setInterval|Date\.|performance\.|Math\.random|process\./);
});
