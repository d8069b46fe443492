// An ordinary Node.js service. It takes orders: counts them in Redis, leaves a job for the worker there, and answers with
// what the worker left in turn. It lists goods: from PostgreSQL, by a pool whose connections stay open. Its peers are plain
// names from the environment, as anywhere else.
const http = require('node:http');
const { Pool } = require('pg');
const { connectRedis } = require('./redis');

const port = Number(process.env.PORT ?? 8080);
const [redisHost, redisPort] = (process.env.REDIS ?? 'redis:6379').split(':');
/** Seconds that an order waits for the worker. */
const PATIENCE = 30;

const pool = new Pool({ connectionString: process.env.DATABASE, idleTimeoutMillis: 0 });
// A connection that nobody uses has ended: the pool makes another one when it is needed.
pool.on('error', (error) => console.log(`pool: ${error.message}`));

/** One order: a number from Redis, an invoice from the worker. */
async function order() {
  const redis = await connectRedis(redisHost, Number(redisPort));
  try {
    const number = await redis.command('INCR', 'orders');
    await redis.command('LPUSH', 'jobs', JSON.stringify({ number }));
    const answer = await redis.command('BRPOP', `invoice:${number}`, PATIENCE);
    if (answer === null) throw new Error(`the worker did not answer within ${PATIENCE} s`);
    return { order: number, invoice: JSON.parse(answer[1]) };
  } finally {
    redis.close();
  }
}

/** What there is, and which process of the database has answered. */
async function goods() {
  const { rows } = await pool.query('SELECT name, cents, pg_backend_pid() AS backend FROM goods ORDER BY cents');
  return { goods: rows.map(({ name, cents }) => ({ name, cents })), backend: rows[0].backend };
}

/** Of the pool itself: the database is not asked. */
const connections = async () => ({ open: pool.totalCount, idle: pool.idleCount });

const routes = { '/orders': order, '/goods': goods, '/pool': connections };

const server = http.createServer((request, response) => {
  const answer = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(`${JSON.stringify(body)}\n`);
    console.log(`${request.method} ${request.url} ${status}`);
  };
  const route = routes[request.url];
  if (!route) return answer(404, { error: `there are ${Object.keys(routes).join(', ')}` });
  route().then(
    (body) => answer(200, body),
    (error) => answer(502, { error: error.code ?? error.message }),
  );
});

server.listen(port, () => console.log(`api: listening on ${port}`));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
