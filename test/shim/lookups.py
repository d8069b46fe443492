"""Every combination of service, family, type, protocol and flags, looked up for one name: prints what came of each."""
import itertools
import json
import socket
import sys

FLAGS = {
    'none': 0,
    'passive': socket.AI_PASSIVE,
    'canonname': socket.AI_CANONNAME,
    'numericserv': socket.AI_NUMERICSERV,
    'addrconfig': socket.AI_ADDRCONFIG,
    'v4mapped': socket.AI_V4MAPPED,
    'v4mapped all': socket.AI_V4MAPPED | socket.AI_ALL,
    'all': socket.AI_ALL,
    'numerichost': socket.AI_NUMERICHOST,
    'canonname v4mapped': socket.AI_CANONNAME | socket.AI_V4MAPPED,
    'passive canonname addrconfig': socket.AI_PASSIVE | socket.AI_CANONNAME | socket.AI_ADDRCONFIG,
    'numerichost v4mapped': socket.AI_NUMERICHOST | socket.AI_V4MAPPED,
    'not a flag': 0x8000,
}
FAMILIES = {'any': 0, 'inet': socket.AF_INET, 'inet6': socket.AF_INET6, 'unix': socket.AF_UNIX, 'none': 99}
TYPES = {'any': 0, 'stream': 1, 'dgram': 2, 'raw': 3, 'seqpacket': 5, 'none': 77}
PROTOCOLS = {'any': 0, 'tcp': 6, 'udp': 17, 'icmp': 1, 'none': 200}
SERVICES = [None, '', '0', '80', 'http', 'domain', 'tftp', 'no-such-service', '99999', '-1', ' 80', '80x']


def attempt(call, *arguments):
    try:
        return call(*arguments)
    except (socket.gaierror, socket.herror) as error:
        return [type(error).__name__, error.args[0]]
    except OSError as error:
        return ['errno', error.errno]


name, address = sys.argv[1:]
rows = {}
for service, (f, family), (t, kind), (p, protocol), (g, flags) in itertools.product(
        SERVICES, FAMILIES.items(), TYPES.items(), PROTOCOLS.items(), FLAGS.items()):
    key = f'getaddrinfo {service!r} family {f} type {t} protocol {p} flags {g}'
    rows[key] = attempt(socket.getaddrinfo, name, service, family, kind, protocol, flags)

# Left out is what /etc/hosts does not know and DNS does, and the cluster too: `name.`, and the address in IPv6's form.
for flags, port in itertools.product(range(0, 32), (0, 80, 53, 69, 54321)):
    rows[f'getnameinfo {port} {flags}'] = attempt(socket.getnameinfo, (address, port), flags)
for form in (name, name.upper(), address):
    rows[f'gethostbyname {form}'] = attempt(socket.gethostbyname, form)
    rows[f'gethostbyname_ex {form}'] = attempt(socket.gethostbyname_ex, form)
    rows[f'gethostbyaddr {form}'] = attempt(socket.gethostbyaddr, form)
    rows[f'getfqdn {form}'] = socket.getfqdn(form)
print(json.dumps(rows))
