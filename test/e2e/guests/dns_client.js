/**
 * Resolves a name as c-ares does (no libc), connects to what it says, and tells what came of it.
 *
 * usage: dns_client.js NAME PORT | dns_client.js serve PORT, which does it for each line `NAME PORT`
 */
const { Resolver, getServers } = require('node:dns').promises;
const { connect, createServer } = require('node:net');

async function reach(name, port) {
  const resolver = new Resolver();
  const [address] = await resolver.resolve4(name);
  const six = await resolver.resolve6(name).catch((error) => error.code);
  const line = await new Promise((done, fail) => {
    const socket = connect(Number(port), address, () => socket.end('question\n'));
    let text = '';
    socket.on('data', (data) => {
      text += data;
    });
    socket.on('end', () => done(text.trim()));
    socket.on('error', fail);
  });
  return { servers: getServers(), address, six, line };
}

const told = (name, port) =>
  reach(name, port).then(
    (result) => `${JSON.stringify(result)}\n`,
    (error) => `${JSON.stringify({ error: error.code })}\n`,
  );

const [first, second] = process.argv.slice(2);
if (first === 'serve') {
  createServer((socket) => {
    socket.once('data', async (line) => socket.end(await told(...line.toString().trim().split(' '))));
  }).listen(Number(second));
} else told(first, second).then((text) => process.stdout.write(text));
