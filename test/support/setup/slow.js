/** For projects whose tests synthesise apps or start real programs. */
jest.setTimeout(120_000);
