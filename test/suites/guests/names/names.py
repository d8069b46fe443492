"""One address per host, whatever name it is asked by; an address has its name; an unknown name is one."""
import socket
import subprocess

web, redis = socket.gethostbyname("web"), socket.gethostbyname("redis")
assert web != redis, web
for name in ["cache", "redis.test", "REDIS"]:
    assert socket.gethostbyname(name) == redis, name
    assert socket.getaddrinfo(name, 6379, type=socket.SOCK_STREAM)[0][4] == (redis, 6379), name
    assert subprocess.check_output(["getent", "ahostsv4", name]).startswith(redis.encode()), name
assert socket.gethostbyaddr(redis)[0] == "redis", socket.gethostbyaddr(redis)
assert socket.getnameinfo((web, 80), socket.NI_NAMEREQD | socket.NI_NUMERICSERV)[0] == "web"
try:
    raise SystemExit(socket.gethostbyname("nowhere.invalid"))
except socket.gaierror:
    print("web", web, "redis", redis)
