// Keeps a pool of connections to PostgreSQL, and one connection that it has taken out of it for good. Serves port 7001: for
// each line it says what came of it, or the error, and how long that took in milliseconds.
//
// usage: pool.js HOST
const { createServer } = require('node:net');
const { createInterface } = require('node:readline');
const { Pool } = require('pg');

const pool = new Pool({ host: process.argv[2], user: 'postgres', database: 'postgres', idleTimeoutMillis: 0, max: 2 });
pool.on('error', (error) => console.log(`an idle connection has ended: ${error.message}`));

let kept;
/** The process that answers, and since when its server runs: a number may come again. */
const WHO = 'SELECT pg_backend_pid() AS pid, extract(epoch FROM pg_postmaster_start_time()) AS born';
const who = async (on) => {
  const { pid, born } = (await on.query(WHO)).rows[0];
  return `${pid} of ${born}`;
};

const commands = {
  /** Takes a connection out of the pool. */
  keep: async () => {
    kept = await pool.connect();
    kept.on('error', (error) => console.log(`the kept connection has ended: ${error.message}`));
    return who(kept);
  },
  kept: () => who(kept),
  query: () => who(pool),
  open: async () => String(pool.totalCount),
};

createServer((socket) => {
  socket.on('error', () => socket.destroy());
  createInterface({ input: socket }).on('line', async (line) => {
    const began = performance.now();
    const said = await commands[line]().catch((error) => `failed: ${error.message}`);
    socket.write(`${Math.round(performance.now() - began)} ms: ${said}\n`);
  });
}).listen(7001);
