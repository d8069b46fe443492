/**
 * Tells guests that the supervisor has marked connections of theirs: by a signal, for which their shims have a handler.
 * A program without one (it is not under the shim, or has taken the handler away) is left alone: the signal would end it.
 */
import { readFileSync } from 'node:fs';
import * as abi from '../../../contract/abi/generated';
import { socketInodes } from '../guest/processes';

const BIT = 1n << BigInt(abi.IM_SIGNAL - 1);

/**
 * @param inodes of the sockets that are marked; undefined: any
 * @returns how many processes have one, and whether each of them could be told
 */
export function tellGuests(pids: Iterable<number>, inodes?: ReadonlySet<number>): { holders: number; told: number } {
  let holders = 0;
  let told = 0;
  for (const pid of pids) {
    if (inodes && !socketInodes(pid).some((inode) => inodes.has(inode))) continue;
    holders += 1;
    if (!catches(pid)) continue;
    try {
      process.kill(pid, abi.IM_SIGNAL);
      told += 1;
    } catch {
      // it has ended meanwhile
    }
  }
  return { holders, told };
}

function catches(pid: number): boolean {
  try {
    const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
    return caught !== null && (BigInt(`0x${caught[1]}`) & BIT) !== 0n;
  } catch {
    return false;
  }
}
