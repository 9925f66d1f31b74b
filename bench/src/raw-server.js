// The yardstick: the least that Node does to send what the application sends, with no framework, log or metrics.
// Its first argument, as JSON, holds those answers: headers and body of `/`, and of `/secure` for `token`. The second is
// where to listen, on a free port of loopback when it is missing.
//
// JavaScript, alone here: it is also the yardstick of start-up and memory, and stripping types costs both.
import { createServer } from 'node:http';

const { token, root, secure } = JSON.parse(process.argv[2]);
const [host, port] = (process.argv[3] ?? '127.0.0.1:0').split(':');
const verified = new Map([[token, { expires: Date.now() + 3_600_000 }]]);

const server = createServer((request, response) => {
  if (request.url === '/') {
    response.writeHead(200, root.headers).end(root.body);
  } else if (request.url === '/secure') {
    const known = verified.get(request.headers.authorization?.slice('Bearer '.length));
    if (known?.expires > Date.now()) response.writeHead(200, secure.headers).end(secure.body);
    else response.writeHead(401).end();
  } else {
    response.writeHead(404).end();
  }
});

server.listen(Number(port), host, () => {
  const { address, port } = server.address();
  process.stdout.write(`${JSON.stringify({ msg: 'listening', listener: 'http', address: `${address}:${port}` })}\n`);
});
process.once('SIGTERM', () => process.exit());
