#!/usr/bin/python3
"""An HTTPS front for an HTTP tracker: takes TLS off and passes the request on from the client's own address.

  tls_front.py --listen ADDR:PORT --certificate PEM --key PEM --to ADDR:PORT

Everybody here lives on addresses of one loopback device, so the front can bind the client's address when it asks the
tracker behind: that tracker then sees the peer, not the front, and no forwarding header is needed.
Paths with a meaning of their own, for a client's manners: `/moved/N/announce` redirects N times and then to
`/announce`; `/endless/announce` redirects to itself for ever; `/huge/announce` answers with a body without an end.
"""
import argparse
import http.client
import http.server
import json
import socket
import ssl
import sys


def endpoint(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class Front(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20

    def do_GET(self):
        path, question, query = self.path.partition("?")
        parts = path.strip("/").split("/")
        if parts[0] == "moved" and len(parts) == 3:
            left = int(parts[1])
            target = f"/moved/{left - 1}/announce" if left > 1 else "/announce"
            return self.redirect(target + question + query)
        if parts[0] == "endless":
            return self.redirect(self.path)
        if parts[0] == "huge":
            return self.endless_body()
        return self.forward()

    def redirect(self, target):
        self.send_response(302)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def endless_body(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.close_connection = True
        sent = 0
        try:
            # Bounded, so that a client without a body limit fails its test instead of filling the machine.
            while sent < 256 << 20:
                sent += self.wfile.write(b"d5:peers" + b"9" * 65528)
        except OSError:
            pass
        print(json.dumps({"event": "huge", "sent": sent}), flush=True)

    def forward(self):
        host, port = self.server.behind
        client = self.client_address[0]
        source = (client, 0) if (":" in client) == (":" in host) else None
        behind = http.client.HTTPConnection(host, port, timeout=15, source_address=source)
        try:
            behind.request("GET", self.path, headers={"Connection": "close"})
            answer = behind.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.getheader("Content-Type", "text/plain"))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            print(json.dumps({"event": "forwarded", "path": self.path, "status": answer.status}), flush=True)
        except OSError as error:
            self.send_error(502, str(error))
        finally:
            behind.close()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address, behind, context):
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.behind = behind
        self.context = context
        super().__init__(address, Front)

    def finish_request(self, request, client_address):
        # The TLS handshake happens on the connection's own thread: a client that stalls in it holds up nobody else.
        request.settimeout(15)
        try:
            with self.context.wrap_socket(request, server_side=True) as secured:
                self.RequestHandlerClass(secured, client_address, self)
        except (ssl.SSLError, OSError) as error:
            print(json.dumps({"event": "tls_refused", "text": str(error)}), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", required=True)
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--to", required=True)
    arguments = parser.parse_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(arguments.certificate, arguments.key)
    server = Server(endpoint(arguments.listen), endpoint(arguments.to), context)
    print(json.dumps({"event": "listening"}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
