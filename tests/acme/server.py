"""A real ACME server, acme2certifier, on a free port of this machine: `server.py FOLDER [DAYS [renew] [a-year-behind]]`.

Only what lies outside of it is stood in for. DNS: names in `.test` lead to 127.0.0.1, TXT records are those of FOLDER/txt.json.
Ports 80 and 443: those that FOLDER/up.json names. It prints `port N` and, for each validation, what it connects to.
"""
import datetime
import json
import os
import socket
import subprocess
import sys
import time
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

folder = os.path.abspath(sys.argv[1])
os.makedirs(folder, exist_ok=True)


def at(name):
    return os.path.join(folder, name)


subprocess.run(
    ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=Test authority",
     "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
     "-keyout", at("ca.key"), "-out", at("ca.pem")],
    check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
os.makedirs(at("issued"), exist_ok=True)
with open(at("ca.key"), "rb") as key, open(at("ca.pem"), "rb") as ca:
    key, ca = serialization.load_pem_private_key(key.read(), None), x509.load_pem_x509_certificate(ca.read())
today = datetime.datetime.now(datetime.timezone.utc)
revoked = x509.CertificateRevocationListBuilder(ca.subject, today, today + datetime.timedelta(days=3650)).sign(key, hashes.SHA256())
with open(at("crl.pem"), "wb") as file:
    file.write(revoked.public_bytes(serialization.Encoding.PEM))
days = sys.argv[2] if len(sys.argv) > 2 else "90"
with open(at("acme_srv.cfg"), "w") as file:
    file.write(f"""[DEFAULT]
debug: False
[Nonce]
nonce_check_disable: False
[DBhandler]
handler_module: acme2certifier.dbhandlers.wsgi_handler
dbfile: {at("acme.db")}
[CAhandler]
handler_module: acme2certifier.cahandlers.openssl_ca_handler
issuing_ca_key: {at("ca.key")}
issuing_ca_cert: {at("ca.pem")}
issuing_ca_crl: {at("crl.pem")}
cert_save_path: {at("issued")}
ca_cert_chain_list: []
cert_validity_days: {days}
[Challenge]
dns_server_list: ["127.0.0.1"]
challenge_validation_timeout: 5
[Order]
tnauthlist_support: False
[Renewalinfo]
renewal_force: {"renew" in sys.argv}
[Directory]
supress_version: True
""")
os.environ["ACME_SRV_CONFIGFILE"] = at("acme_srv.cfg")

import dns.resolver  # noqa: E402


class Answer(list):
    """As dnspython's answers: iterable, with the record's text."""


class Txt:
    def __init__(self, text):
        self.strings = [text.encode()]
        self.text = text

    def to_text(self):
        return f'"{self.text}"'

    __str__ = to_text


def resolve(self, name, kind="A", *args, **kwargs):
    name, kind = str(name).rstrip("."), str(kind)
    if kind == "A" and name.endswith(".test"):
        return Answer(["127.0.0.1"])
    if kind == "TXT":
        with open(at("txt.json")) as file:
            return Answer([Txt(value) for record, value in json.load(file) if record == name])
    raise dns.resolver.NoAnswer()


dns.resolver.Resolver.resolve = resolve
dns.resolver.Resolver.query = resolve
dns.resolver.query = lambda name, kind="A", *a, **k: resolve(None, name, kind)
dns.resolver.resolve = dns.resolver.query

connect = socket.socket.connect


def connect_mapped(self, address):
    if isinstance(address, tuple) and address[1] in (80, 443):
        for _ in range(100):
            if os.path.exists(at("up.json")):
                break
            time.sleep(0.1)
        with open(at("up.json")) as file:
            key = {80: "http", 443: "https"}[address[1]]
            address = ("127.0.0.1", int(json.load(file)[key].rsplit(":", 1)[1]))
        print("connects to", key, flush=True)
    return connect(self, address)


socket.socket.connect = connect_mapped

if "a-year-behind" in sys.argv:
    import wsgiref.handlers

    right = wsgiref.handlers.format_date_time
    wsgiref.handlers.format_date_time = lambda now: right(now - 365 * 86400)

from acme2certifier.share import acme2certifier_wsgi as a2c  # noqa: E402
import socks  # noqa: E402


class Plain(socket.socket):
    """Without a proxy, a socket of PySocks is one of ours."""


socks.socksocket = Plain


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


server = make_server("127.0.0.1", 0, a2c.application, server_class=Server, handler_class=WSGIRequestHandler)
print("port", server.server_address[1], flush=True)
server.serve_forever()
