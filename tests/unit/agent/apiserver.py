"""Passes for an API server: has the argument list of one, and answers /readyz over TLS.
apiserver.py --encryption-provider-config=FILE PORT CERT KEY"""
import http.server
import signal
import ssl
import sys


class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


def main():
    signal.alarm(180)  # nothing is left behind, whatever happens to the test
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Ready)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


main()
