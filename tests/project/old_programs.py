"""Programs that use names of waitress 3.0.2, as those that were found do: they run with that version, and with this.

Each is a text, run by its own interpreter, that prints what it sees; both versions must print the same.
"""

PRELUDE = """
import contextlib, copy, io, json, logging, os, socket, sys, threading, time, warnings
warnings.simplefilter("ignore")
import waitress
from waitress import channel, parser, runner, server, task, trigger, utilities, wasyncore
from waitress.adjustments import Adjustments

SECONDS = 20

def show(*facts):
    print(json.dumps(facts, default=str), flush=True)

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    names = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "HTTP_X", "wsgi.url_scheme", "REMOTE_ADDR")
    facts = [environ.get(name) for name in names]
    return [json.dumps([*facts, len(environ["wsgi.input"].read())]).encode()]

def ask(port, data, wait=False):
    with socket.create_connection(("127.0.0.1", int(port)), SECONDS) as client:
        client.sendall(data)
        if not wait:
            client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))

def get(path="/", *fields, method="GET", body=b""):
    length = ["Content-Length: %d" % len(body)] if body else []
    lines = ["%s %s HTTP/1.1" % (method, path), "Host: a", *fields, *length, "Connection: close", "", ""]
    return "\\r\\n".join(lines).encode() + body

def head_and_body(answer):
    head, _, body = answer.partition(b"\\r\\n\\r\\n")
    lines = [line for line in head.decode("latin-1").split("\\r\\n") if not line.startswith("Date: ")]
    return lines, body.decode("latin-1")

@contextlib.contextmanager
def running(made):
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        made.trigger.pull_trigger(lambda: wasyncore.close_all(made._map))
        thread.join(SECONDS)
        show("ended", not thread.is_alive())

class Own(server.TcpWSGIServer):
    pass

def served(channel_class, app=application, **settings):
    Own.channel_class = channel_class
    return Own(app, host="127.0.0.1", port=0, **settings)
"""

# By name. Each ends by itself.
PROGRAMS = {
    "parser-alone": """
adj = Adjustments()
class Own(parser.HTTPRequestParser):
    def __init__(self, adj):
        super().__init__(adj)
        self.adj = copy.copy(adj)
        self.adj.max_request_body_size = 5
        self.connection_close = True
    def parse_header(self, header_plus):
        show(header_plus.decode(), self.header_bytes_received)
        super().parse_header(header_plus)
        self.headers["X"] = "own"
for data in (get("/a%20b?c=d"), get(method="POST", body=b"abcd"), get(method="POST", body=b"abcdefgh")):
    one = Own(adj)
    while data and not one.completed:
        data = data[one.received(data):]
    show(one.completed, one.command, one.path, one.query, one.headers, one.connection_close, one.version, one.chunked)
    show(one.error and (one.error.code, one.error.reason), one.header_plus.decode())
    show(None if one.error else (one.body_rcv and len(one.body_rcv), one.get_body_stream().read().decode()))
    one.close()
""",
    "parser-of-a-server": """
class Parser(parser.HTTPRequestParser):
    def parse_header(self, header_plus):
        super().parse_header(header_plus)
        self.headers["X"] = self.path.upper()
        if self.path.startswith("/old"):
            self.path = "/new" + self.path[4:]
        if self.path == "/tls":
            self.url_scheme = "https"
        if self.path == "/large":
            self.adj = copy.copy(self.adj)
            self.adj.max_request_body_size = 100
        if self.path == "/refused":
            raise parser.ParsingError("not this one")
        if self.path == "/error":
            self.error = utilities.Error("no such kettle")
            self.error.code, self.error.reason = 418, "I am a teapot"
class Channel(channel.HTTPChannel):
    parser_class = Parser
made = served(Channel, max_request_body_size=20)
with running(made):
    for request in (get("/tea?x=y"), get("/old/tea"), get("/tls"), get("/refused"), get("/error"),
                    get("/large", method="POST", body=b"x" * 50), get("/small", method="POST", body=b"x" * 50),
                    get("/tea", "Transfer-Encoding: chunked", method="PUT") + b"3\\r\\nabc\\r\\n0\\r\\n\\r\\n"):
        lines, body = head_and_body(ask(made.effective_port, request, wait=True))
        show(lines[0], body)
""",
    "error-task": """
class ErrorTask(task.ErrorTask):
    def execute(self):
        error = self.request.error
        self.status = "%s Own" % error.code
        self.response_headers = [("X-Own", "yes")]
        body = ("own: " + error.reason).encode()
        self.content_length = len(body)
        self.set_close_on_finish()
        self.write(body)
class Channel(channel.HTTPChannel):
    error_task_class = ErrorTask
def failing(environ, start_response):
    raise ValueError("it boils over")
logging.disable(logging.CRITICAL)
made = served(Channel, failing)
with running(made):
    for request in (get("/tea"), b"GET / HTTP/1.1\\r\\nHost : a\\r\\n\\r\\n",
                    get("/", "Transfer-Encoding: gzip"), b"nonsense\\r\\n\\r\\n"):
        lines, body = head_and_body(ask(made.effective_port, request, wait=True))
        show(lines[0], [line for line in lines if line.startswith("X-Own")], body)
""",
    "tasks-by-hand": """
class Server:
    adj = Adjustments(ident="", url_prefix="/shop")
    effective_port = 8088
    server_name = adj.server_name
    application = staticmethod(application)
class Channel:
    server, adj, addr = Server(), Server.adj, ("192.0.2.7", 4711)
    def __init__(self):
        self.sent = b""
    def write_soon(self, data):
        self.sent += bytes(data) if isinstance(data, bytes) else b"".join(data)
        return len(data)
    def check_client_disconnected(self):
        return False
for data in (get("/shop/tea?x=y", "X: 1"), get(method="POST", body=b"abc"), b"GET / HTTP/1.0\\r\\n\\r\\n"):
    one = parser.HTTPRequestParser(Server.adj)
    while data:
        data = data[one.received(data):]
    made = task.WSGITask(Channel(), one)
    made.service()
    show(head_and_body(made.channel.sent), made.close_on_finish, made.status, made.wrote_header, made.content_length)
    environ = made.get_environment()
    show(sorted(item for item in environ.items() if isinstance(item[1], str) and item[0] != "SERVER_SOFTWARE"))
    show(environ["waitress.client_disconnected"](), made.content_bytes_written, made.has_body, made.version)
    one.close()
refused = parser.HTTPRequestParser(Server.adj)
refused.error, refused.version = utilities.BadRequest("no tea"), "1.1"
made = task.ErrorTask(Channel(), refused)
made.service()
show(head_and_body(made.channel.sent))
def with_a_file(environ, start_response):
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](io.BytesIO(b"a file"))
Channel.server.application = with_a_file
one = parser.HTTPRequestParser(Server.adj)
one.received(get("/file"))
made = task.WSGITask(Channel(), one)
made.service()
show(head_and_body(made.channel.sent))
def failing(environ, start_response):
    raise ValueError("it boils over")
Channel.server.application = failing
made = task.WSGITask(Channel(), one)
try:
    made.service()
except ValueError as error:
    show("raised", str(error))
""",
    "several-by-hand": """
adj = Adjustments(threads=3)
shared = {}
dispatcher = task.ThreadedTaskDispatcher()
dispatcher.set_thread_count(adj.threads)
servers = []
for _ in range(2):
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    info = (sock.family, sock.type, sock.proto, sock.getsockname())
    servers.append(server.TcpWSGIServer(application, shared, True, sock, dispatcher, adj, info, False))
lines = []
both = server.MultiSocketServer(
    shared, adj, [(one.effective_host, one.effective_port) for one in servers], dispatcher, lines.append
)
show(both.adj is adj, both.map is shared, both.task_dispatcher is dispatcher)
show(sum(isinstance(entry, server.TcpWSGIServer) for entry in both.map.values()), len(both.map))
both.print_listen("at {}:{}")
show([line.rpartition(":")[0] for line in lines])
thread = threading.Thread(target=both.run, daemon=True)
thread.start()
for one in servers:
    show(head_and_body(ask(one.effective_port, get("/tea"), wait=True))[1])
servers[0].trigger.pull_trigger(both.close)
thread.join(SECONDS)
show(thread.is_alive(), shared, dispatcher.threads)
""",
    "several-by-create-server": """
made = waitress.create_server(application, listen="127.0.0.1:0 127.0.0.1:0")
show(isinstance(made, server.MultiSocketServer), len(made.effective_listen))
entries = [entry for entry in made.map.values() if isinstance(entry, server.BaseWSGIServer)]
show(sorted(entry.effective_port for entry in entries) == sorted(port for _, port in made.effective_listen))
show([entry.effective_host for entry in entries], [entry.adj is made.adj for entry in entries])
thread = threading.Thread(target=made.run, daemon=True)
thread.start()
for entry in entries:
    show(head_and_body(ask(entry.effective_port, get("/tea"), wait=True))[1])
entries[0].trigger.pull_trigger(made.close)
thread.join(SECONDS)
show(thread.is_alive(), made.map)
""",
    "assigned": """
made = waitress.create_server(application, listen="127.0.0.1:0")
port = made.effective_port
made.effective_host = "localhost"
show(made.effective_host, isinstance(port, str))
made.effective_port = 8080
show(made.effective_port)
lines = []
made.log_info = lines.append
made.print_listen("at {}:{}")
show(lines)
def show_port(environ, start_response):
    start_response("200 OK", [])
    return [environ["SERVER_PORT"].encode()]
made.application = show_port
with running(made):
    show(head_and_body(ask(port, get("/"), wait=True))[1])
    made.effective_port = "8081"
    show(head_and_body(ask(port, get("/"), wait=True))[1])
""",
    "trigger": """
made = waitress.create_server(application, listen="127.0.0.1:0")
show(made.trigger in made._map.values(), len(made._map), made.trigger.kind, made.trigger.readable())
show(isinstance(made.trigger, trigger._triggerbase), made.trigger.writable())
threads = []
def loop():
    made.asyncore.loop(timeout=30, map=made._map)
thread = threading.Thread(target=loop, daemon=True)
thread.start()
show(head_and_body(ask(made.effective_port, get("/"), wait=True))[0][0])
made.trigger.pull_trigger(lambda: threads.append(threading.current_thread()))
made.trigger.pull_trigger(made.close)
thread.join(SECONDS)
show(threads == [thread], thread.is_alive(), made._map)
own = {}
alone = trigger.trigger(own)
show(list(own.values()) == [alone])
alone.pull_trigger(lambda: threads.append("alone"))
wasyncore.loop(1, map=own, count=1)
alone.close()
show(threads[1:], own)
""",
    "not-started": """
made = waitress.create_server(application, listen="127.0.0.1:0", _start=False, ident="")
show(made.accepting, made.adj.ident, made.socket.getsockname()[0], made.effective_host, made.server_name)
made.socket.listen(5)
made.socket.setblocking(True)
client = socket.create_connection(("127.0.0.1", int(made.effective_port)), SECONDS)
accepted, address = made.socket.accept()
client.sendall(get("/tea"))
class Channel:
    server, addr = made, address
    def write_soon(self, data):
        accepted.sendall(data)
        return len(data)
    def check_client_disconnected(self):
        return False
one = parser.HTTPRequestParser(made.adj)
while not one.completed:
    one.received(accepted.recv(1000))
task.WSGITask(Channel(), one).service()
accepted.close()
show(head_and_body(b"".join(iter(lambda: client.recv(1000), b""))))
made.close()
""",
    "channels": """
class Channel(channel.HTTPChannel):
    seen = []
    def add_channel(self, map=None):
        super().add_channel(map)
        self.seen.append(("added", self._fileno in self.server._map))
    def del_channel(self, map=None):
        super().del_channel(map)
        self.seen.append(("deleted", self._fileno in self.server._map))
    def service(self):
        self.addr = ("192.0.2.7", 4711)
        age = time.time() - self.creation_time
        self.seen.append((0 <= age < SECONDS, self.sendbuf_len > 0, self.current_outbuf_count))
        super().service()
made = served(Channel)
with running(made):
    show(head_and_body(ask(made.effective_port, get("/tea"), wait=True))[1])
    until = time.time() + SECONDS
    while made.active_channels and time.time() < until:
        time.sleep(0.01)
show(Channel.seen, made.in_connection_overflow)
""",
    "loop-of-its-own": """
own = {}
reader, writer = os.pipe()
seen = []
class Pipe(wasyncore.file_dispatcher):
    def handle_read(self):
        seen.append(self.recv(100).decode())
        self.close()
    def writable(self):
        return False
pipe = Pipe(reader, own)
os.write(writer, b"tea")
wasyncore.loop(1, map=own)
show(seen, own)
os.close(reader)
one, other = socket.socketpair()
one.setblocking(False)
class Both(wasyncore.dispatcher):
    def writable(self):
        return False
    def handle_read(self):
        seen.append(self.recv(100).decode())
    def handle_close(self):
        seen.append("closed")
        self.close()
both = Both(one, own)
other.send(b"more")
wasyncore.poll(1, own)
other.close()
wasyncore.loop(1, map=own)
show(seen, own)
wrapper = wasyncore.file_wrapper(writer)
show(wrapper.fileno() != writer, wrapper.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
wrapper.close()
show(wrapper.fileno())
""",
    "logged-once": """
class Task(task.WSGITask):
    logged_write_no_body = True
class Channel(channel.HTTPChannel):
    task_class = Task
records = []
class Handler(logging.Handler):
    def emit(self, record):
        records.append(record.getMessage().partition(" (")[0])
logging.getLogger("waitress").addHandler(Handler())
def app(environ, start_response):
    if environ["PATH_INFO"] == "/none":
        start_response("204 No Content", [])
    else:
        start_response("200 OK", [("Content-Length", "1")])
    return [b"tea"]
made = served(Channel, app)
with running(made):
    for path in ("/none", "/long"):
        ask(made.effective_port, get(path), wait=True)
show([record.partition(":")[0] for record in records if "content" in record])
""",
    "dates": """
show(utilities.build_http_date(784111777), utilities.parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"))
for name in ("short_days", "long_days", "months", "weekdayname", "monthname", "daymap", "monmap", "hms_reg",
             "short_day_reg", "long_day_reg", "months_reg", "rfc822_date", "rfc850_date"):
    value = getattr(utilities, name)
    show(name, sorted(value.items()) if isinstance(value, dict) else value)
show(utilities.unpack_rfc850(utilities.rfc850_reg.match("sunday, 06-nov-94 08:49:37 gmt")))
show(utilities.unpack_rfc822(utilities.rfc822_reg.match("sun, 06 nov 1994 08:49:37 gmt")))
show(utilities.concat("a", "b"), utilities.join("ab", "|"), utilities.group("a"))
""",
    "settings": """
casts = sorted((name, cast.__name__) for name, cast in Adjustments._params)
new = {"access_log", "access_log_format", "log_slow_requests", "linger_timeout", "request_body_rate",
       "request_body_timeout", "request_head_timeout", "response_rate", "response_timeout", "shutdown_delay",
       "shutdown_timeout"}
for name, cast in casts:
    if name in OLD_SETTINGS:
        show(name, cast)
default, given = Adjustments(), Adjustments(host="127.0.0.1", port="0", ident="")
show(type(default.host).__name__, type(default.port).__name__, type(given.host).__name__, type(given.port).__name__)
show(default.host, default.port, given.ident, copy.copy(given).listen == given.listen)
""",
}
PRELUDE += """
OLD_SETTINGS = frozenset('''asyncore_loop_timeout asyncore_use_poll backlog channel_request_lookahead channel_timeout
cleanup_interval clear_untrusted_proxy_headers connection_limit expose_tracebacks host ident inbuf_overflow ipv4 ipv6
listen log_socket_errors log_untrusted_proxy_headers max_request_body_size max_request_header_size
outbuf_high_watermark outbuf_overflow port recv_bytes send_bytes server_name sockets threads trusted_proxy
trusted_proxy_count trusted_proxy_headers unix_socket unix_socket_perms url_prefix url_scheme'''.split())
"""
