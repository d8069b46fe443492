/** Boots a platform and tells where it is. It is the caller's to end it. */
import { startPlatform } from '../../../src/local';
import { emptyManifest, plain } from '../boot';

const [stateDir, sandbox, network] = process.argv.slice(2);
const application = { source: 'test', manifest: emptyManifest(), functions: [plain()] };
void startPlatform({
  ...{ application, stateDir, sandbox: sandbox as 'auto' | 'none', network: network as 'auto' | 'flat' },
}).then(({ info }) => {
  process.stdout.write(`${JSON.stringify(info)}\n`);
});
