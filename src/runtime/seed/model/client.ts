/** The clients of the model: they locate hosts, connect to them, and are sent the ends of epochs. */
import type { Move } from './moves';
import { answers, countAcks, hear, lets, seedOf, seedsUp } from './seed';
import type { Client, World } from './world';

export function clientMoves(world: World): Move[] {
  return world.clients.flatMap((client, c) => movesOf(world, client, c));
}

function movesOf(world: World, { link, left, open }: Client, c: number): Move[] {
  const of = `client ${c}`;
  if (!link) return seedsUp(world).map((id): Move => [`${of} joins seed ${id}`, (w) => dial(w, w.clients[c], id)]);
  const moves: Move[] = [];
  if (link.up.length > 0)
    moves.push([`the seed hears ${link.up[0].type} of ${of}`, (w) => hear(w, w.clients[c].link!)]);
  if (link.down.length > 0) moves.push([`${of} hears ${link.down[0].type}`, (w) => listen(w, w.clients[c])]);
  else if (link.closed || seedOf(world, link) === 'former')
    moves.push([`${of} notices that its connection has ended`, ({ clients }) => disconnect(clients[c])]);
  if (link.closed || open || left === 0) return moves;
  return [
    ...moves,
    ...world.hosts.map((_, h): Move => [`${of} locates host ${h}`, ({ clients }) => locate(clients[c], h), 'chosen']),
  ];
}

function disconnect(client: Client): void {
  client.link = undefined;
}

/** A locate that is open is sent again. */
function dial(world: World, client: Client, seed: number): void {
  lets(world, seed, () => {
    client.link = { member: ++world.members, seed, up: [], down: [] };
    if (client.open) send(client);
    for (const h of client.connected.keys()) watch(client, h);
  });
}

/** The end of the epoch that it is connected to is to be heard of. */
function watch({ link, connected }: Client, host: number): void {
  if (connected[host] > 0) link!.up.push({ type: 'watch', at: host, epoch: connected[host] });
}

function locate(client: Client, host: number): void {
  client.left -= 1;
  client.ids += 1;
  client.open = { id: client.ids, host };
  send(client);
}

function send({ link, open }: Client): void {
  link!.up.push({ type: 'locate', by: 'client', at: open!.host, id: open!.id, port: 80, waited: 0 });
}

function listen(world: World, client: Client): void {
  const { seed, down } = client.link!;
  const word = down.shift()!;
  if (word.type === 'answer' && word.id === client.open?.id) {
    const { host } = client.open;
    client.open = undefined;
    if (word.epoch === undefined) return;
    client.older ||= word.epoch < client.seen[host];
    client.seen[host] = word.epoch;
    client.connected[host] = word.epoch;
  }
  if (word.type !== 'location') return;
  if (client.connected[word.host] < word.oldest) client.connected[word.host] = 0;
  if (word.end && !client.link!.closed) watch(client, word.host);
  if (answers(world, seed)) lets(world, seed, () => countAcks(world, word.host));
}
