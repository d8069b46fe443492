"""The addresses that this process is shown: by getifaddrs, by SIOCGIFCONF and by SIOCGIFADDR."""
import array
import ctypes
import fcntl
import socket
import struct

SIOCGIFCONF, SIOCGIFADDR = 0x8912, 0x8915


class Ifaddrs(ctypes.Structure):
    pass


Ifaddrs._fields_ = [
    ("next", ctypes.POINTER(Ifaddrs)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.c_void_p),
]


def listed():
    libc = ctypes.CDLL(None, use_errno=True)
    first = ctypes.POINTER(Ifaddrs)()
    assert libc.getifaddrs(ctypes.byref(first)) == 0
    at = first
    while at:
        entry = at.contents
        if entry.address:
            (family,) = struct.unpack("H", ctypes.string_at(entry.address, 2))
            if family == socket.AF_INET:
                yield socket.inet_ntoa(ctypes.string_at(entry.address + 4, 4))
            if family == socket.AF_INET6:
                yield socket.inet_ntop(family, ctypes.string_at(entry.address + 8, 16))
        at = entry.next
    libc.freeifaddrs(first)


with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
    rows = array.array("B", bytes(40 * 16))
    space, length = rows.buffer_info()
    answer = fcntl.ioctl(asked, SIOCGIFCONF, struct.pack("iP", length, space))
    (used,) = struct.unpack_from("i", answer)
    found = [rows[at : at + 40].tobytes() for at in range(0, used, 40)]
    named = [row[:16].rstrip(b"\0") for row in found]
    print("getifaddrs:", *listed())
    print("SIOCGIFCONF:", *[socket.inet_ntoa(row[20:24]) for row in found])
    each = [fcntl.ioctl(asked, SIOCGIFADDR, struct.pack("16s24x", name)) for name in named]
    print("SIOCGIFADDR:", *[socket.inet_ntoa(row[20:24]) for row in each])
