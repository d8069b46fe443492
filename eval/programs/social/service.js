/**
 * One service of a small social network: `node service.js ROLE ADDRESS PEERS`. PEERS is JSON, names to addresses. Services speak an RPC
 * over TCP to one another (length, then JSON, many calls at a time on one connection), memcached's and Redis' protocols to
 * those, and the first one speaks HTTP to nginx.
 */
const { createServer } = require('node:http');
const net = require('node:net');

const [role, address, peersText] = process.argv.slice(2);
const peers = JSON.parse(peersText);
const RPC_PORT = 9000;
const HTTP_PORT = 8000;
const USERS = 500;
const POSTS = 10;

/** One connection, made at the first call; `parse(bytes)` takes replies off it and resolves the calls in order or by id. */
function connection(name, port, onData) {
  let socket;
  return (bytes) => {
    if (!socket) {
      socket = net.connect({ host: peers[name], port, noDelay: true });
      let rest = Buffer.alloc(0);
      socket.on('data', (chunk) => {
        rest = onData(rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk);
      });
      socket.on('error', (error) => fail(`${role}: ${name}: ${error.message}`));
      socket.on('close', () => fail(`${role}: ${name} has closed the connection`));
    }
    socket.write(bytes);
  };
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

function frame(message) {
  const body = Buffer.from(JSON.stringify(message));
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  return Buffer.concat([head, body]);
}

/** Takes whole frames. @returns what is left */
function frames(bytes, take) {
  let at = 0;
  while (bytes.length - at >= 4) {
    const end = at + 4 + bytes.readUInt32BE(at);
    if (bytes.length < end) break;
    take(JSON.parse(bytes.toString('utf8', at + 4, end)));
    at = end;
  }
  return bytes.subarray(at);
}

const clients = new Map();
/** Calls another service. */
function call(name, method, argument) {
  let client = clients.get(name);
  if (!client) {
    const waiting = new Map();
    const send = connection(name, RPC_PORT, (bytes) =>
      frames(bytes, ({ id, result }) => {
        waiting.get(id)(result);
        waiting.delete(id);
      }),
    );
    client = { waiting, send, ids: 0 };
    clients.set(name, client);
  }
  return new Promise((resolve) => {
    const id = client.ids++;
    client.waiting.set(id, resolve);
    client.send(frame({ id, method, argument }));
  });
}

/** Bulk strings and arrays of them, integers, `+OK`. @returns [value, end], or nothing yet */
function redisValue(bytes, at) {
  const line = bytes.indexOf('\r\n', at);
  if (line < 0) return undefined;
  const text = bytes.toString('latin1', at + 1, line);
  const kind = bytes[at];
  if (kind === 0x2b || kind === 0x3a) return [text, line + 2];
  if (kind === 0x2d) return fail(`redis: ${text}`);
  const count = Number(text);
  if (kind === 0x24) {
    if (count < 0) return [null, line + 2];
    const end = line + 2 + count;
    return bytes.length < end + 2 ? undefined : [bytes.toString('utf8', line + 2, end), end + 2];
  }
  const values = [];
  let next = line + 2;
  for (let i = 0; i < count; i++) {
    const element = redisValue(bytes, next);
    if (!element) return undefined;
    values.push(element[0]);
    next = element[1];
  }
  return [values, next];
}

const redisWaiting = [];
const sendToRedis = connection('redis', 6379, (bytes) => {
  let at = 0;
  for (let value = redisValue(bytes, at); value; value = at < bytes.length ? redisValue(bytes, at) : undefined) {
    redisWaiting.shift()(value[0]);
    at = value[1];
  }
  return bytes.subarray(at);
});
function redis(...words) {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return new Promise((resolve) => {
    redisWaiting.push(resolve);
    sendToRedis(`*${words.length}\r\n${parts.join('')}`);
  });
}

const cacheWaiting = [];
/** A reply ends with END or STORED: values have none of these at the start of a line. */
const sendToCache = connection('memcached', 11211, (bytes) => {
  let at = 0;
  for (;;) {
    const end = /(?:^|\r\n)(?:END|STORED)\r\n/.exec(bytes.toString('latin1', at));
    if (!end) return bytes.subarray(at);
    const stop = at + end.index + end[0].length;
    cacheWaiting.shift()(bytes.toString('utf8', at, stop));
    at = stop;
  }
});
function cache(command) {
  return new Promise((resolve) => {
    cacheWaiting.push(resolve);
    sendToCache(command);
  });
}
async function cached(keys) {
  const lines = (await cache(`get ${keys.join(' ')}\r\n`)).split('\r\n');
  const found = new Map();
  for (let i = 0; lines[i].startsWith('VALUE'); i += 2) found.set(lines[i].split(' ')[1], lines[i + 1]);
  return found;
}
/** From the cache, and what is missing there from the database. */
async function stored(keys) {
  const found = await cached(keys);
  const missing = keys.filter((key) => !found.has(key));
  if (missing.length > 0) {
    const values = await redis('MGET', ...missing);
    for (const [i, key] of missing.entries()) {
      found.set(key, values[i]);
      await cache(`set ${key} 0 0 ${Buffer.byteLength(values[i])}\r\n${values[i]}\r\n`);
    }
  }
  return keys.map((key) => found.get(key));
}

const SERVICES = {
  user: {
    fill: async () => {
      for (let i = 0; i < USERS; i++) await redis('SET', `user:${i}`, JSON.stringify({ id: i, name: `user number ${i}` }));
    },
    get: async (ids) => (await stored(ids.map((id) => `user:${id}`))).map((text) => JSON.parse(text)),
  },
  graph: {
    fill: async () => {
      for (let i = 0; i < USERS; i++) {
        await redis('DEL', `follows:${i}`);
        await redis('RPUSH', `follows:${i}`, ...[1, 7, 31].map((step) => String((i + step) % USERS)));
      }
    },
    followees: async (id) => redis('LRANGE', `follows:${id}`, '0', '-1'),
  },
  timeline: {
    read: async (id) => {
      const followees = await call('graph', 'followees', id);
      return followees.flatMap((other) => Array.from({ length: 3 }, (_, i) => `${other}.${(id + i) % POSTS}`));
    },
  },
  post: {
    fill: async () => {
      for (let i = 0; i < USERS; i++) {
        for (let j = 0; j < POSTS; j++) {
          const text = `Post ${j} of ${i}, which mentions @${(i * j) % USERS} and is about as long as such a text is.`;
          await redis('SET', `post:${i}.${j}`, JSON.stringify({ by: i, text, media: j % 3 }));
        }
      }
    },
    get: async (ids) => (await stored(ids.map((id) => `post:${id}`))).map((text) => JSON.parse(text)),
  },
  text: {
    render: async (texts) => {
      const mentioned = texts.map((text) => Number(/@(\d+)/.exec(text)[1]));
      const users = await call('user', 'get', [...new Set(mentioned)]);
      const names = new Map(users.map(({ id, name }) => [id, name]));
      return texts.map((text) => text.replace(/@(\d+)/g, (_, id) => names.get(Number(id))));
    },
  },
  media: {
    urls: async (list) => list.map((count) => Array.from({ length: count }, (_, i) => `/media/${count}/${i}.jpg`)),
  },
};

async function page(id) {
  const [[user], ids] = await Promise.all([call('user', 'get', [id]), call('timeline', 'read', id)]);
  const posts = await call('post', 'get', ids);
  const [texts, media] = await Promise.all([
    call('text', 'render', posts.map(({ text }) => text)),
    call('media', 'urls', posts.map(({ media: count }) => count)),
  ]);
  return { user, posts: posts.map(({ by }, i) => ({ by, text: texts[i], media: media[i] })) };
}

async function answer(url) {
  if (url === '/fill') {
    for (const name of ['user', 'graph', 'post']) await call(name, 'fill');
    return 'filled';
  }
  return page(Number(url.split('/')[1]) % USERS);
}

if (role === 'page') {
  createServer((request, response) => {
    void answer(request.url).then((body) => {
      const text = JSON.stringify(body);
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
      response.end(text);
    });
  }).listen(HTTP_PORT, address);
} else {
  net
    .createServer({ noDelay: true }, (socket) => {
      let rest = Buffer.alloc(0);
      socket.on('data', (chunk) => {
        rest = frames(rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk, ({ id, method, argument }) => {
          void SERVICES[role][method](argument).then((result) => socket.write(frame({ id, result })));
        });
      });
      socket.on('error', () => socket.destroy());
    })
    .listen(RPC_PORT, address);
}
