import { once } from 'node:events';
import { connect as openSocket } from 'node:net';
import { onTestFinished } from 'vitest';

/** A connection that sends some bytes, or none, and then waits. */
export class RawConnection {
  received = '';
  readonly closed: Promise<unknown>;
  readonly #socket;

  private constructor(url: string) {
    const { hostname, port } = new URL(url);
    this.#socket = openSocket({ host: hostname, port: Number(port) });
    this.#socket.setEncoding('latin1').on('data', (text: string) => {
      this.received += text;
    });
    // A reset is one of the ways in which a server ends a connection.
    this.#socket.on('error', () => {});
    this.closed = once(this.#socket, 'close');
  }

  /** @throws when nobody accepts */
  static async open(url: string, bytes = ''): Promise<RawConnection> {
    const connection = new RawConnection(url);
    await once(connection.#socket, 'connect');
    connection.#socket.write(bytes);
    onTestFinished(() => connection.hangUp());
    return connection;
  }

  write(bytes: string): void {
    this.#socket.write(bytes);
  }

  hangUp(): void {
    this.#socket.destroy();
  }
}
