/** The list of members as it is known here, and what changes in it. */
import type { MemberEntry } from '../../../contract/control/membership';

/** `joined`: also a member that was there as an earlier epoch, which is said to have left first. */
export type ChangeType = 'joined' | 'suspended' | 'resumed' | 'left';

export interface Change {
  readonly type: ChangeType;
  readonly member: MemberEntry;
}

export class MemberList {
  #known: Map<number, MemberEntry> | undefined;
  /** The list that comes anew, until it is complete. */
  #fresh: Map<number, MemberEntry> | undefined;

  /** Undefined: nothing is known yet. */
  get members(): readonly MemberEntry[] | undefined {
    return this.#known && [...this.#known.values()].sort((a, b) => a.id - b.id);
  }

  restart(): void {
    this.#fresh = new Map();
  }

  /** @returns what has changed; undefined: the list is not complete yet */
  apply(members: readonly MemberEntry[], complete: boolean): readonly Change[] | undefined {
    if (this.#fresh) {
      for (const entry of members) put(this.#fresh, entry);
      if (!complete) return undefined;
      const changes = this.#known ? compare(this.#known, this.#fresh) : [];
      this.#known = this.#fresh;
      this.#fresh = undefined;
      return changes;
    }
    const known = this.#known ?? new Map<number, MemberEntry>();
    this.#known = known;
    return members.flatMap((entry) => {
      const changes = changesOf(known.get(entry.id), entry);
      put(known, entry);
      return changes;
    });
  }
}

function put(map: Map<number, MemberEntry>, entry: MemberEntry): void {
  if (entry.state === 'left') map.delete(entry.id);
  else map.set(entry.id, entry);
}

function compare(before: ReadonlyMap<number, MemberEntry>, now: ReadonlyMap<number, MemberEntry>): Change[] {
  const gone = [...before.values()].filter(({ id }) => !now.has(id));
  return [
    ...gone.map((member): Change => ({ type: 'left', member: { ...member, state: 'left' } })),
    ...[...now.values()].flatMap((member) => changesOf(before.get(member.id), member)),
  ];
}

function changesOf(before: MemberEntry | undefined, member: MemberEntry): Change[] {
  const { state } = member;
  if (state === 'left') return before ? [{ type: 'left', member: { ...before, state } }] : [];
  if (!before) return [{ type: state, member }];
  if (before.epoch !== member.epoch) {
    return [
      { type: 'left', member: { ...before, state: 'left' } },
      { type: state, member },
    ];
  }
  if (before.state === state) return [];
  return [{ type: state === 'joined' ? 'resumed' : state, member }];
}
