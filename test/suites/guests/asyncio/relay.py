"""Connects to the echo server for each client, and copies both ways until an end is reached."""
import asyncio


async def copy(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


# Python before 3.12 collects the task of a connection whose client has said its end: nothing but itself refers to it then.
tasks = set()


async def relay(reader, writer):
    task = asyncio.current_task()
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    there_reader, there_writer = await asyncio.open_connection("echo", 7000)
    await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))
    there_writer.close()
    writer.close()


async def main():
    async with await asyncio.start_server(relay, port=7000) as server:
        await server.serve_forever()


asyncio.run(main())
