/** A client outside of every cluster that speaks UDP: one socket, and what it is answered. */
import { createSocket, type RemoteInfo } from 'node:dgram';
import { once } from 'node:events';

export interface Answer {
  readonly text: string;
  readonly from: RemoteInfo;
}

export class Asker {
  readonly answers: Answer[] = [];
  readonly #socket = createSocket('udp4');
  readonly #waiting = new Set<() => void>();

  /** @param address a loopback address */
  static async at(address = '127.0.0.1'): Promise<Asker> {
    const asker = new Asker();
    asker.#socket.on('message', (data, from) => {
      asker.answers.push({ text: data.toString(), from });
      for (const wake of [...asker.#waiting]) wake();
    });
    asker.#socket.bind(0, address);
    await once(asker.#socket, 'listening');
    return asker;
  }

  get local(): { readonly address: string; readonly port: number } {
    return this.#socket.address();
  }

  send(port: number, data: string | Buffer): Promise<void> {
    return new Promise((done, failed) => {
      this.#socket.send(data, port, '127.0.0.1', (error) => (error ? failed(error) : done()));
    });
  }

  /** The answer that has this text in it. */
  async answer(text: string, limit = 30_000): Promise<Answer> {
    const end = performance.now() + limit;
    for (;;) {
      const found = this.answers.find((answer) => answer.text.includes(text));
      if (found) return found;
      const left = end - performance.now();
      if (left <= 0) throw new Error(`'${text}' was not answered within ${limit} ms`);
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          this.#waiting.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, left);
        this.#waiting.add(wake);
      });
    }
  }

  async ask(port: number, text: string, limit?: number): Promise<Answer> {
    await this.send(port, text);
    return this.answer(text, limit);
  }

  close(): void {
    this.#socket.close();
  }
}
