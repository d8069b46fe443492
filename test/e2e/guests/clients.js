// net, http and fetch clients of one URL; prints what each got.
const http = require('node:http');
const net = require('node:net');

const url = new URL(process.argv[2]);

const viaNet = () =>
  new Promise((done, fail) => {
    const socket = net.connect(Number(url.port), url.hostname, () => {
      socket.write(`GET ${url.pathname} HTTP/1.0\r\nHost: ${url.hostname}\r\n\r\n`);
      text.peer = socket.remoteAddress;
    });
    const text = { body: '', peer: '' };
    socket
      .on('data', (data) => (text.body += data))
      .on('end', () => done(text))
      .on('error', fail);
  });
const viaHttp = () =>
  new Promise((done, fail) =>
    http
      .get(url, (response) => {
        let body = '';
        response.on('data', (data) => (body += data)).on('end', () => done({ status: response.statusCode, body }));
      })
      .on('error', fail),
  );
const viaFetch = async () => {
  const response = await fetch(url);
  return { status: response.status, body: await response.text() };
};

(async () => {
  const [net, http, fetched] = await Promise.all([viaNet(), viaHttp(), viaFetch()]);
  console.log(JSON.stringify({ net, http, fetch: fetched }));
})();
