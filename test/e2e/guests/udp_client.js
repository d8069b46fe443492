// usage: udp_client.js HOST PORT: a statsd-like client, connected and not; prints JSON.
const dgram = require('node:dgram');
const [host, port] = [process.argv[2], Number(process.argv[3])];
const ask = (connected) =>
  new Promise((resolve, reject) => {
    const socket = dgram.createSocket('udp4');
    socket.on('error', reject);
    socket.on('message', (message, { address, port: from }) => {
      const peer = connected ? socket.remoteAddress() : undefined;
      socket.close();
      resolve({ answer: JSON.parse(message), source: [address, from], peer });
    });
    if (!connected) return socket.send('requests:1|c', port, host);
    socket.connect(port, host, () => socket.send('requests:2|c'));
  });
(async () => console.log(JSON.stringify([await ask(true), await ask(false)])))();
