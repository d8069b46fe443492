// As much of Redis's protocol (RESP) as the shop needs: commands answered by an integer, a string or nil.
const net = require('node:net');

/** Connects; the caller closes. A client with a pool would do too, but its open connection keeps both hosts up. */
exports.connectRedis = (host, port) =>
  new Promise((done, fail) => {
    const socket = net.connect(port, host);
    const waiting = [];
    let received = '';
    const settle = (error) => {
      fail(error);
      for (const { reject } of waiting.splice(0)) reject(error);
    };
    socket.setEncoding('utf8');
    socket.on('error', settle);
    socket.on('close', () => settle(new Error(`${host}:${port} closed the connection`)));
    socket.on('data', (text) => {
      received += text;
      for (let reply = parse(received); reply; reply = parse(received)) {
        received = received.slice(reply.length);
        const { resolve, reject } = waiting.shift();
        if (reply.error) reject(new Error(reply.error));
        else resolve(reply.value);
      }
    });
    socket.on('connect', () =>
      done({
        command: (...words) =>
          new Promise((resolve, reject) => {
            waiting.push({ resolve, reject });
            socket.write(`*${words.length}\r\n${words.map((w) => `$${Buffer.byteLength(w)}\r\n${w}\r\n`).join('')}`);
          }),
        close: () => socket.end(),
      }),
    );
  });

/** The first whole reply in `text` (ASCII), or undefined while it is not whole. */
function parse(text) {
  const end = text.indexOf('\r\n');
  if (end < 0) return undefined;
  const head = text.slice(1, end);
  if (text[0] === ':') return { value: Number(head), length: end + 2 };
  if (text[0] === '+') return { value: head, length: end + 2 };
  if (text[0] === '-') return { error: head, length: end + 2 };
  if (head === '-1') return { value: null, length: end + 2 };
  const length = end + 2 + Number(head) + 2;
  return text.length < length ? undefined : { value: text.slice(end + 2, length - 2), length };
}
