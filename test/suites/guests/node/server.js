// http on port 8000 by three workers, each of which has the listener itself; net on port 7000 by the main process.
const cluster = require('node:cluster');
const http = require('node:http');
const net = require('node:net');

if (cluster.isPrimary) {
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  for (let i = 0; i < 3; i++) cluster.fork();
  net.createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(7000);
} else {
  http
    .createServer((request, response) => {
      const { remoteAddress, localAddress } = request.socket;
      response.setHeader('Addresses', `${remoteAddress} ${localAddress}`);
      request.pipe(response);
    })
    .listen(8000);
}
