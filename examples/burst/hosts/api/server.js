// An ordinary HTTP server. It knows nothing of the service that it is a part of.
const http = require('node:http');
const { hostname } = require('node:os');

const answer = (response) => response.end(`${hostname()}\n`);
http.createServer((_, response) => setTimeout(answer, 300, response)).listen(8080);
