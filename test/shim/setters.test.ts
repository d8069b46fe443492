/**
 * What a guest sees of names and interfaces is not the machine's, so it must not change the machine's, not even as
 * root. Every call that sets what a virtual call gets is tried, by name and by number, with values that are the
 * machine's own.
 */
import { existsSync } from 'node:fs';
import { type Peer, startPeer } from './harness';

const PYTHON = '/usr/bin/python3';
const root = process.getuid?.() === 0 && existsSync(PYTHON);
let peer: Peer;
beforeAll(async () => {
  peer = await startPeer(28, ['plain']);
}, 60_000);
afterAll(() => peer?.close());

// In namespaces of its own: where it is not refused, it must not be the machine's that is set.
const script = `
import ctypes, errno, platform, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
def code(result): return "ok" if result == 0 else errno.errorcode[ctypes.get_errno()]
by_number = (170, 171) if platform.machine() == "x86_64" else (161, 162)
own = open("/proc/sys/kernel/ostype").read().strip().encode()
print("sethostname", code(libc.sethostname(own, len(own))))
print("setdomainname", code(libc.setdomainname(own, len(own))))
for name, number in zip(("SYS_sethostname", "SYS_setdomainname"), by_number):
  print(name, code(libc.syscall(ctypes.c_long(number), own, len(own))))
fd = socket.socket(socket.AF_INET, socket.SOCK_DGRAM).fileno()
# lo with what it has: harmless where it is not refused
address = struct.pack("16sHH4s8x", b"lo", socket.AF_INET, 0, socket.inet_aton("127.0.0.1"))
mask = struct.pack("16sHH4s8x", b"lo", socket.AF_INET, 0, socket.inet_aton("255.0.0.0"))
flags = ctypes.create_string_buffer(struct.pack("16sH14x", b"lo", 0))
libc.ioctl(fd, 0x8913, flags)
for name, number, value in (("SIOCSIFADDR", 0x8916, address), ("SIOCSIFNETMASK", 0x891c, mask), ("SIOCSIFBRDADDR", 0x891a, address),
    ("SIOCSIFDSTADDR", 0x8918, address), ("SIOCSIFFLAGS", 0x8914, flags.raw[:32])):
  print(name, code(libc.ioctl(fd, number, ctypes.create_string_buffer(value + bytes(8)))))
print(socket.gethostname())
`;

(root ? test : test.skip)('setters of what is virtual are refused', async () => {
  const { stdout, stderr } = await peer.run('web', ['unshare', '--uts', '--net', PYTHON, '-c', script]);
  expect(stderr).toBe('');
  const names = ['sethostname', 'setdomainname', 'SYS_sethostname', 'SYS_setdomainname'];
  const requests = ['ADDR', 'NETMASK', 'BRDADDR', 'DSTADDR', 'FLAGS'].map((what) => `SIOCSIF${what}`);
  expect(stdout.split('\n')).toEqual([...[...names, ...requests].map((name) => `${name} EPERM`), 'web', '']);
});
