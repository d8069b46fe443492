"""What each of 60 streams sends comes back whole; the loop goes on while they connect; sock_connect works as well."""
import asyncio
import hashlib
import socket


async def stream(number):
    sent = hashlib.shake_128(str(number).encode()).digest(100_000)
    reader, writer = await asyncio.open_connection("relay", 7000)
    writer.write(sent)
    writer.write_eof()
    assert await reader.read() == sent, number
    peer = writer.get_extra_info("peername")
    writer.close()
    await writer.wait_closed()
    return peer


async def bare():
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, ("echo", 7000))
        await loop.sock_sendall(sock, b"ping")
        assert await loop.sock_recv(sock, 100) == b"ping"


async def main():
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    counting = asyncio.create_task(count())
    peers = await asyncio.gather(*(stream(number) for number in range(60)))
    await bare()
    counting.cancel()
    assert set(peers) == {(socket.gethostbyname("relay"), 7000)}, peers
    assert turns > 0
    print(len(peers), "streams")


asyncio.run(main())
