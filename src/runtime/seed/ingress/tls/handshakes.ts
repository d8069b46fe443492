/** TLS handshakes at one time: they cost the seed most of what a client can cost it before it is served. */

export const MOST_OF_CLIENT = 32;
export const MOST = 512;

export class Handshakes {
  readonly #of = new Map<string, number>();
  #all = 0;

  constructor(
    readonly mostOfClient = MOST_OF_CLIENT,
    readonly most = MOST,
  ) {}

  /** One begins; `end` follows. @returns why it may not: then none follows */
  begin(client: string): string | undefined {
    const own = this.#of.get(client) ?? 0;
    if (own >= this.mostOfClient) return 'too many TLS handshakes of this client';
    if (this.#all >= this.most) return 'too many TLS handshakes';
    this.#of.set(client, own + 1);
    this.#all += 1;
    return undefined;
  }

  end(client: string): void {
    const own = this.#of.get(client)! - 1;
    if (own === 0) this.#of.delete(client);
    else this.#of.set(client, own);
    this.#all -= 1;
  }
}
