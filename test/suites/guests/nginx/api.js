// Counts visits in redis, speaking its protocol over a plain socket; says what addresses and which nginx worker it sees.
const http = require('node:http');
const net = require('node:net');

http
  .createServer((request, response) => {
    const redis = net.connect(6379, 'redis', () => redis.write('*2\r\n$4\r\nINCR\r\n$6\r\nvisits\r\n'));
    redis.on('error', (error) => response.writeHead(502).end(`${error.code}\n`));
    redis.once('data', (data) => {
      redis.end();
      const { remoteAddress, localAddress, localPort } = request.socket;
      const visits = Number(data.toString().slice(1));
      const { worker } = request.headers;
      response.end(JSON.stringify({ visits, worker, remoteAddress, localAddress, localPort, path: request.url }));
    });
  })
  .listen(3000);
