/** The step of a host's machine, by table: every event in every state. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MachineEvent } from '../../../../src/runtime/seed/machine/events';
import { sessionOf } from '../../../../src/runtime/seed/machine/state';
import { type Step, step } from '../../../../src/runtime/seed/machine/step';
import { EVENTS, moment, STATES, SUPERVISOR, summary } from './samples';

/**
 * Rows are events, columns states: see `samples.ts`. A cell is what `summary` gives: `.` is an event that must change
 * nothing.
 */
const TABLE = `
                      I     Iw    Ii    Is    A     Aj    Al    Ar    R     Rs    Rl    Ra    Rg    Rr    Re    Rel   Rp    Ri    S     Sr    F     Fp
locate 80             I?    I?    I     I?    A     A     Al    A     R+    R-    Rl    R+>   Rg    Rl    Re    Rel   Rl    R+    S?    Sr    F-    F
locate 81             I?    I?    I     I?    A     A     Al    A     R     R-    Rl    R>    Rg    Rl    Re    Rel   Rl    R     S?    Sr    F-    F
locate 80/udp         I?    I?    I     I?    A     A     Al    A     R     R+    Rl    R>    Rg    Rl    Re    Rel   Rl    R     S?    Sr    F-    F
watch                 I?    I?    I     I     A     A     Al    A     R     R     Rl    Ra    Rg    Rl    Re    Rel   Rl    R     S     Sr    F     F
watch an older epoch  I?    I?    I     I     A     A     Al    A     R     R     Rl    Ra    Rg    Rl    Re    Rel   Rl    R     S     Sr    F     F
watch a newer epoch   I?    I?    I     I?    A     A     Al    A     R     R     Rl    Ra    Rg    Rl    Re    Rel   Rl    R     S     Sr    F     F
data                  .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     S?    .     .     .
data, present epoch   .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     S?    .     .     .
data, older epoch     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
data, newer epoch     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
cancel                .     I     .     .     A     A     Al    A     .     .     .     .     .     .     .     .     .     .     .     .     .     F
gone                  .     I     .     .     A     A     Al    A     .     .     .     .     .     .     .     .     .     .     .     .     .     F
wake                  .     I?    .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
startGranted          A!    A!    .     A!    .     .     .     .     .     .     .     .     .     .     .     .     .     .     A!    .     .     .
startDenied           I     I-    .     I     .     .     .     .     .     .     .     .     .     .     .     .     .     .     S     .     .     .
startDenied, ahead    I     I     .     I     .     .     .     .     .     .     .     .     .     .     .     .     .     .     S     .     .     .
join again            A     A     A     Ix    A     Ax    A     A     R>x   R>x   R>    R>x   R>x   R>    Re>x  Re>   R>    R>x   A     Srx   Fx    A
join, life b          A     A     A     Ix    A     Ax    Alx   Ax    Rx    Rx    Rlx   Rax   Rgx   Rlx   Rex   Relx  Rlx   Rx    Sx    Srx   Fx    A
join, older epoch     A     A     A     Ix    A     Ax    Alx   Ax    Rx    Rx    Rlx   Rax   Rgx   Rlx   Rex   Relx  Rlx   Rx    Sx    Srx   Fx    A
join, fresh epoch     A     A     A     A     A     Ax    A     A>    Ax    Ax    A     Ax    Ax    A>    Ax    A     A     Rx    A     A     A     A
join, newer epoch     A     A     A     A     A     Ax    A     A     Ax    Ax    A     Ax    Ax    A     Ax    A     A     Rx    A     A     A     A
ports none            .     .     .     .     .     A     .     .     R>    R>    .     Ra>   Rg>   .     Re>   .     .     R>    .     .     .     .
ports 80, 81          .     .     .     .     .     R+>   .     .     R>    R>    .     Ra>   Rg>   .     Re>   .     .     R>    .     .     .     .
ports settled         .     .     .     .     .     R>    .     .     R>    R     .     Ra>   Rg>   .     Re>   .     .     R>    .     .     .     .
ports of other        .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
natReport             .     .     .     .     .     A     .     .     R>    R>    .     Ra>   Rg>   .     Re>   .     .     R>    .     .     .     .
natReport of other    .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
report started        .     .     .     .     .     A     .     .     R     R     .     Ra    Rg    .     Re    .     .     R     .     .     .     .
report other          .     .     .     .     .     A     .     .     R     R     .     Ra    Rg    .     Re    .     .     R     .     .     .     .
report of other       .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
held                  .     .     .     .     .     A     .     .     R     R     .     Ra    Rg    .     Re    .     .     R     .     .     .     .
held of other         .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
suspend               .     .     .     .     .     A     .     .     Ra>   Ra>   .     .     .     .     Re    .     .     R     .     .     .     .
suspend of other      .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
stay                  .     .     .     .     .     .     .     .     .     .     .     .     R>    .     .     .     .     .     .     .     .     .
stay of other         .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
leave suspended       .     .     .     .     .     S?>   .     .     S>    S>    .     S     S     .     Sr!   .     .     I>    .     .     .     .
leave with a timer    .     .     .     .     .     S?>   .     .     S>    S>    .     S     S     .     Sr!   .     .     I>    .     .     .     .
leave exited 0        .     .     .     .     .     F->   .     .     I>    I>    .     I>    I>    .     I=>   .     .     I>    .     .     .     .
leave exited 1        .     .     .     .     .     F->   .     .     I>    I>    .     I>    I>    .     I=>   .     .     I>    .     .     .     .
leave released        .     .     .     .     .     I?>   .     .     I>    I>    .     I>    I>    .     I=>   .     .     I>    .     .     .     .
leave fenced          .     .     .     .     .     I?>   .     .     I>    I>    .     I>    I>    .     I=>   .     .     I>    .     .     .     .
leave renew           .     .     .     .     .     Al    .     .     Rl    Rl    .     Ral   Rgl   .     Rel   .     .     Rl    .     .     .     .
leave of other        .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
lost                  .     .     .     .     .     Al    .     .     Rl    Rl    .     Rl>   Rgl   .     Rel   .     .     Rl    .     .     .     .
lost of other         .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
acks 0                .     .     .     .     .     .     .     .     .     .     .     Rg    .     .     .     .     .     .     .     .     .     .
acks 2                .     .     .     .     .     .     .     .     .     .     .     Ra    .     .     .     .     .     .     .     .     .     .
sent                  I     I     I     I     A     A     Al    A     R     R     Rl    Ra    Rg    Rl    Re    Rel   Rl    R     S     Sr    F     F
throttled             I     I     I     I     A     A     Al    A     R     R     Rl    Ra    Rg    Rl    Re    Rel   Rl    R     S     Sr    F     F
throttled release     I     I     I     I     A     A     Al    A     R     R     Rl    Ra    Rg    Rl    Re    Rel   Rl    R     S     I>    F     F
ended suspended       .     .     .     .     S?>   S?>x  S?>   .     S>x   S>x   S>    Sx    Sx    .     Sr!x  Sr!   .     .     S     .     .     .
ended exited 0        .     .     .     .     F->   F->x  F->   .     I>x   I>x   I>    I>x   I>x   .     I=>x  I=>   .     .     S     .     .     .
ended exited 1        .     .     .     .     F->   F->x  F->   .     I>x   I>x   I>    I>x   I>x   .     I=>x  I=>   .     .     S     .     .     .
ended released        .     .     .     .     I?>   I?>x  I?>   .     I>x   I>x   I>    I>x   I>x   .     I=>x  I=>   .     .     S     .     .     .
ended fenced          .     .     .     .     I?>   A     Al    .     R     R     Rl    Ra    Rg    .     Re    Rel   .     .     S     .     .     .
ended renew           .     .     .     .     A!    Al!x  Al!   .     Rl!x  Rl!x  Rl!   Ral!x Rgl!x .     Rel!x Rel!  .     .     S     .     .     .
ended error           .     .     .     .     I?>   I?>x  I?>   .     I>x   I>x   I>    I>x   I>x   .     I=>x  I=>   .     .     S     .     .     .
ended broken          .     .     .     .     I?>   A     Al    .     R     R     Rl    Ra    Rg    .     Re    Rel   .     .     S     .     .     .
ended denied          .     .     .     .     F->   F->x  F->   .     F>x   F>x   F>    F>x   F>x   .     F=>x  F=>   .     .     S     .     .     .
ended release         .     .     .     .     .     .     .     A     .     .     .     .     .     Rl    .     .     .     .     .     I>    .     .
ended 2 error         .     .     .     .     .     .     .     I?>   .     .     .     .     .     I>    .     .     .     .     .     Sr    .     .
ended 2 broken        .     .     .     .     .     .     .     I?>   .     .     .     .     .     Rl    .     .     .     .     .     Sr    .     .
ended 2 fenced        .     .     .     .     .     .     .     I?>   .     .     .     .     .     Rl    .     .     .     .     .     Sr    .     .
ended older           .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
drained               I     I     I     I     A     A     Al    A     R     R     Rl    Ra    Rg    Rl    Re    Rel   Rl    R     S     Sr    F     F
drained broken        I     I     I     I     A     A     Al    A     R     R     Rl    Ra    Rg    Rl    Re    Rel   Rl    R     S     Sr    F     F
companion up          I?    I?    I     I?    A     A     Al    A     R     R     Rl    Ra    Rg    Rl    Re    Rel   Rl    R     S?    Sr    F     F
companion down        I     I     I     I     A     A     Al    A     R     R     Rl    Ra    Rg    Rl    Re    Rel   Rl    R     S     Sr    F     F
prefetch              I?    I?    .     I?    .     .     .     .     .     .     .     .     .     .     .     .     .     .     S?    .     .     .
awaited               I?    I?    .     I?    .     .     .     .     .     .     .     .     .     .     Re    Rel   .     .     S?    Sr    F     F
not awaited           .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
scheduled             I?    I?    I     I?    .     .     .     .     .     .     .     .     .     .     Re    Rel   .     .     S?    Sr    F     F
order start           I?    I?    I=    I?    A     A     Al    A     R=    R=    Rl=   Ra=   Rg=   Rl=   Re    Rel   Rl=   R=    S?    Sr    I?>   I?>
order wake            I=    I=    I=    I=    A     A     Al    A     R=    R=    Rl=   Ra=   Rg=   Rl=   Re    Rel   Rl=   R=    S?    Sr    F=    F=
order release         I=    I=-   I=    I=    A=    A=    Al=   A=    R=    R=    Rl=   Ra=   Rg=   Rl=   Re=   Rel=  Rl=   R=    Sr!   Sr    F=    F=-
order stop            I=    I=-   I=    I=    I=->  Re->  Rel-> I=->  Re>   Re>   Rel>  Re    Re    Rel>  Re    Rel   I=>   R=    Sr!   Sr    F=    F=-
timer deadline        .     .     .     .     I?>   R>    Rl>   I?>   .     .     .     .     .     .     .     .     .     .     .     .     .     .
timer lost            .     .     .     .     .     .     I?>   .     .     .     I>    .     .     I>    .     I=>   I>    .     .     .     .     .
timer probe           .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     Rl!   .     .     .     .     .
timer expect          .     .     .     .     .     .     .     .     R     .     Rl    Ra    Rg    Rl    Re    Rel   Rl    R     .     .     .     .
timer acks            .     .     .     .     .     .     .     .     .     .     .     Rg    .     .     .     .     .     .     .     .     .     .
timer release         .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     Sr!   .     .     .
timer retry           .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     I>    I?>
timer start           .     .     .     I?    .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .
timer doubt           .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     .     F>
timer end             .     .     .     .     .     .     .     .     .     .     .     .     .     .     I=>x  I=>   .     .     .     .     .     .
timer order           .     .     .     .     .     .     .     .     .     .     .     .     .     .     Re=   Rel=  .     .     .     .     .     .
timer wait            .     I-    .     .     A-    A-    Al-   A-    .     .     .     .     .     .     .     .     .     .     .     .     .     F-
`;

const [header, ...lines] = TABLE.trim().split('\n');
const columns = header.trim().split(/\s+/);
const rows = new Map(lines.map((line) => [line.slice(0, 20).trim(), line.slice(20).trim().split(/\s+/)]));

test('the table has every event and every state', () => {
  expect([...rows.keys()]).toEqual(Object.keys(EVENTS));
  expect(columns).toEqual(Object.keys(STATES));
});

test.each(Object.entries(EVENTS))('%s', (name, event) => {
  const cells = Object.values(STATES).map((state) => summary(state, step(state, event, moment(10))));
  expect(cells).toEqual(rows.get(name));
});

test.each(Object.entries(EVENTS))(
  '%s: what holds a host is kept, for as long as it does and afterwards',
  (_, event) => {
    const report = { type: 'held', member: SUPERVISOR, by: 'connections', what: 'a connection of anna' } as const;
    for (const state of Object.values(STATES)) {
      const { state: held } = step(state, report, moment(10));
      const heldBy = sessionOf(held)?.heldBy;
      if (!heldBy) continue;
      expect(heldBy).toEqual({ by: 'connections', what: 'a connection of anna', since: 10 });
      const { state: again } = step(held, report, moment(20));
      expect(sessionOf(again)?.heldBy).toEqual(heldBy);
      const { state: after } = step(again, event, moment(30));
      if (event.type === 'held') continue;
      const now = sessionOf(after)?.heldBy;
      expect([now, after.lastHeldBy]).toEqual(now ? [heldBy, undefined] : [undefined, { ...heldBy, until: 30 }]);
    }
  },
);

test.each(['renew', 'suspended'])(
  '%s: invoked again at once after its invocation has returned, and else in a while',
  (outcome) => {
    const again: MachineEvent = { type: 'startGranted', cause: { by: 'anna', port: 80, since: 0 } };
    const left = step(STATES.R, EVENTS[`leave ${outcome}`], moment(10)).state;
    const returned = step(left, EVENTS[`ended ${outcome}`], moment(11));
    const invokes = ({ effects }: Step) =>
      effects.flatMap((effect) => (effect.type === 'invoke' ? effect.notBefore : []));
    const resumed = step(returned.state, again, moment(12));
    expect([...invokes(returned), ...invokes(resumed)]).toEqual([0]);
    if (outcome === 'suspended')
      expect(invokes(step({ ...left, invocation: undefined }, again, moment(12)))).toEqual([510]);
  },
);

const machine = join(__dirname, '../../../../src/runtime/seed/machine');
const pure = readdirSync(machine).filter(
  (name) => name.endsWith('.ts') && !['interpreter.ts', 'schedule.ts'].includes(name),
);

test.each(pure)('%s has no timer, clock, chance or process of its own', (name) => {
  const source = readFileSync(join(machine, name), 'utf8');
  expect(source).not.toMatch(/setTimeout\(|setImmediate|setInterval|Date\.|performance\.|Math\.random|process\./);
});
