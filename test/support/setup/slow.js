/** A limit for what hangs. How long a machine takes that runs other tests as well says nothing about the code. */
jest.setTimeout(120_000);
