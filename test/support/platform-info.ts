import type { PlatformInfo } from '../../src/contract/platform/platform-info';

/** What a platform writes into `platform.json`, with everything that it can. */
export const PLATFORM_INFO: Required<PlatformInfo> = {
  ...{ version: 1, pid: 2 ** 22 + 1, processStart: 'x', startedAt: 1, cluster: 'shop', cidr: '100.64.0.0/16' },
  network: { kind: 'flat', number: 1 },
  seed: '127.0.0.1:9410',
  standby: '127.0.0.2:9410',
  lambda: { url: 'http://127.0.0.1:1', region: 'local', accessKeyId: 'a', secretAccessKey: 'b' },
  ...{ keyFile: '/s/key', manifestFile: '/s/manifest.json', logDir: '/s/logs' },
  isolation: {
    ...{ filesystem: true, uid: true, pids: true, devShm: true, freeze: 'cgroup', memory: true, missing: ['swap'] },
  },
  exposed: [
    {
      ...{ host: 'web', protocol: 'tcp', address: '127.0.0.1', port: 8_080, wanted: 80, hostPort: 8_000 },
      serverNames: ['web.example'],
    },
  ],
  ended: { time: 2, reason: 'the disk is full' },
};
