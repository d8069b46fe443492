// net, http and fetch at the same time, to hosts that may be imagined: each body comes back as it was.
const assert = require('node:assert');
const { createHash } = require('node:crypto');
const dns = require('node:dns/promises');
const http = require('node:http');
const net = require('node:net');

const bodyOf = (name) => createHash('shake128', { outputLength: 300_000 }).update(name).digest();

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function viaNet(name) {
  const socket = net.connect(7000, 'server');
  socket.on('connect', () => socket.end(bodyOf(name)));
  const body = await collect(socket);
  assert.ok(body.equals(bodyOf(name)), name);
}

function viaHttp(name, agent) {
  return new Promise((done, fail) => {
    const request = http.request({ host: 'server', port: 8000, method: 'POST', agent }, async (response) => {
      const body = await collect(response);
      assert.ok(body.equals(bodyOf(name)), name);
      done(response.headers.addresses);
    });
    request.on('error', fail);
    request.end(bodyOf(name));
  });
}

async function viaFetch(name) {
  const response = await fetch('http://server:8000/', { method: 'POST', body: bodyOf(name) });
  assert.ok(Buffer.from(await response.arrayBuffer()).equals(bodyOf(name)), name);
  return response.headers.get('addresses');
}

(async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
  const times = (count, work) => Array.from({ length: count }, (_, i) => work(String(i)));
  const [addresses] = await Promise.all([
    Promise.all([
      ...times(20, (name) => viaHttp(name, agent)),
      ...times(20, (name) => viaHttp(name, undefined)),
      ...times(20, viaFetch),
    ]),
    Promise.all(times(20, viaNet)),
  ]);
  agent.destroy();
  const { address } = await dns.lookup('server');
  for (const seen of addresses) assert.match(seen, new RegExp(`^::ffff:[\\d.]+ ::ffff:${address}$`));
  console.log(`${addresses.length} HTTP answers, 20 streams`);
})();
