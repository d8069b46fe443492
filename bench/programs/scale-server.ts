/** The baseline of the suite `scale`: a TLS server with a pre-shared key and nothing else. It echoes. */
import { createServer } from 'node:tls';
import { pskOptions } from '../../src/runtime/control/tls-options';

const psk = Buffer.from(process.argv[2], 'base64');
const server = createServer({ ...pskOptions(), pskCallback: () => psk }, (socket) => {
  socket.setNoDelay(true);
  socket.on('data', (bytes) => socket.write(bytes)).on('error', () => undefined);
});
server.listen(Number(process.argv[3]), '127.0.0.1', 1_024, () => process.stdout.write('listening\n'));
