// usage: backend.js NAME: answers with its name and with what it was sent.
const http = require('node:http');

http
  .createServer((request, response) => {
    response.setHeader('Backend', process.argv[2]);
    request.pipe(response);
  })
  .listen(8000);
