// As much of Redis's protocol (RESP) as the shop needs: commands answered by an integer, a string, a list of strings or nil.
const net = require('node:net');

/** Connects; the caller closes. */
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
      for (let reply = parse(received, 0); reply; reply = parse(received, 0)) {
        received = received.slice(reply.end);
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
            const sent = words.map((word) => `$${Buffer.byteLength(String(word))}\r\n${word}\r\n`).join('');
            socket.write(`*${words.length}\r\n${sent}`);
          }),
        close: () => socket.end(),
      }),
    );
  });

/** The whole reply (ASCII) that begins at `at`, and where it ends; undefined while it is not whole. */
function parse(text, at) {
  const line = text.indexOf('\r\n', at);
  if (line < 0) return undefined;
  const head = text.slice(at + 1, line);
  let end = line + 2;
  switch (text[at]) {
    case ':':
      return { value: Number(head), end };
    case '+':
      return { value: head, end };
    case '-':
      return { error: head, end };
    case '*': {
      const items = [];
      for (let left = Number(head); left > 0; left--) {
        const item = parse(text, end);
        if (!item) return undefined;
        items.push(item.value);
        end = item.end;
      }
      return { value: head === '-1' ? null : items, end };
    }
    default: {
      if (head === '-1') return { value: null, end };
      const length = Number(head);
      if (text.length < end + length + 2) return undefined;
      return { value: text.slice(end, end + length), end: end + length + 2 };
    }
  }
}
