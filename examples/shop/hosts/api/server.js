// An ordinary Node.js service. It takes orders: counts them in Redis, has the worker price them, and answers with what
// the worker left in Redis. Its peers are plain names from the environment, as anywhere else.
const http = require('node:http');
const { connectRedis } = require('./redis');

const port = Number(process.env.PORT ?? 8080);
const [redisHost, redisPort] = (process.env.REDIS ?? 'redis:6379').split(':');
const worker = process.env.WORKER ?? 'http://worker:9000';

/** One order: a number from Redis, a price from the worker. */
async function order() {
  const redis = await connectRedis(redisHost, Number(redisPort));
  try {
    const number = await redis.command('INCR', 'orders');
    await post(`${worker}/jobs`, { number });
    return { order: number, invoice: JSON.parse(await redis.command('GET', `invoice:${number}`)) };
  } finally {
    redis.close();
  }
}

function post(url, body) {
  return new Promise((done, fail) => {
    const request = http.request(url, { method: 'POST', agent: false, headers: { 'content-type': 'application/json' } });
    request.on('error', fail);
    request.on('response', (response) => {
      response.resume();
      response.on('end', () =>
        response.statusCode === 204 ? done() : fail(new Error(`${url}: HTTP ${response.statusCode}`)),
      );
    });
    request.end(JSON.stringify(body));
  });
}

const server = http.createServer((request, response) => {
  const answer = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(`${JSON.stringify(body)}\n`);
    console.log(`${request.method} ${request.url} ${status}`);
  };
  order().then(
    (body) => answer(200, body),
    (error) => answer(502, { error: error.code ?? error.message }),
  );
});

server.listen(port, () => console.log(`api: listening on ${port}`));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
