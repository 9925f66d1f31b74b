import { once } from 'node:events';
import { type ClientHttp2Session, connect, constants } from 'node:http2';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import { type KubeConfig, PortForward } from '@kubernetes/client-node';

/** A port of a pod, as `kubectl port-forward` reaches it: one connection. It has no half-closed state. */
export async function connectToPod(config: KubeConfig, namespace: string, pod: string, port: number): Promise<Duplex> {
  const [here, there] = duplexPair();
  const socket = await new PortForward(config).portForward(namespace, pod, [port], there, null, there);
  socket.onclose = () => there.end();
  here.on('close', () => socket.close());
  return here;
}

/** Listeners of this machine, each of which leads somewhere else. */
export class Listeners {
  readonly #close: (() => void)[] = [];

  /** @returns `127.0.0.1:port`, each connection to which is handed over */
  async listen(handOver: (socket: Socket) => void): Promise<string> {
    const sockets = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      // Whoever it is handed over to sees it close.
      socket.on('error', () => {});
      handOver(socket);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.#close.push(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  close(): void {
    for (const close of this.#close.splice(0)) close();
  }
}

/** Connections from within the cluster, through relay.js in a pod: what comes out there are plain TCP connections. */
export class Tunnel {
  readonly #session: ClientHttp2Session;

  /** @param connection to the relay */
  constructor(connection: Duplex) {
    this.#session = connect('http://relay', { createConnection: () => connection });
    // Each stream is told too.
    this.#session.on('error', () => {});
  }

  /** @param authority as the relay's pod resolves it: `hello:80` */
  connect(socket: Socket, authority: string): void {
    const stream = this.#session.request({ ':method': 'CONNECT', ':authority': authority });
    socket.pipe(stream).pipe(socket);
    stream.on('error', () => socket.resetAndDestroy());
    socket.on('close', () => stream.close(constants.NGHTTP2_CANCEL));
  }

  close(): void {
    this.#session.destroy();
  }
}
