// The guest of the integration tests: answers every request with the name that it knows itself by.
const { hostname } = require('node:os');

require('node:http')
  .createServer((_, response) => response.end(`${hostname()}\n`))
  .listen(Number(process.env.PORT ?? 8080));
