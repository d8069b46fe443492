/**
 * A guest that ends TLS itself, at port 8443, with `server.pem` and `server.key` of its folder: says one word to each client,
 * and ends. Arguments: the word, and `asked` if the client says something first.
 */
export const TLS_SERVER = `
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("server.pem", "server.key")
s = socket.create_server(("", 8443))
while True:
    c, _ = s.accept()
    try:
        with context.wrap_socket(c, server_side=True) as t:
            if sys.argv[2:] == ["asked"]: t.recv(1000)
            t.sendall(sys.argv[1].encode())
            t.unwrap()
    except OSError: pass
`;
