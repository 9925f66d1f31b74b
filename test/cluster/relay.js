// Runs in a pod: whoever reaches it by HTTP/2 gets connections from there, by CONNECT (RFC 9113, 8.5).
import { constants, createServer } from 'node:http2';
import { connect } from 'node:net';

createServer()
  .on('stream', (stream, headers) => {
    const [host, port] = headers[':authority'].split(':');
    const socket = connect({ host, port: Number(port), allowHalfOpen: true }, () => {
      stream.respond();
      socket.pipe(stream).pipe(socket);
    });
    socket.on('error', () => stream.close(constants.NGHTTP2_CONNECT_ERROR));
    stream.on('error', () => socket.destroy());
    stream.on('close', () => socket.destroy());
  })
  .listen(8080);
