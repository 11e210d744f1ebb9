//! A real git server over http and https: git's own backend behind a password, in a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::source::Process;

/// git's own HTTP backend behind a password, and TLS if a certificate is given, in the standard library's server.
const SERVER: &str = r#"
import base64, http.server, os, ssl, subprocess, sys
root, tls = sys.argv[1], sys.argv[2:4]
class Handler(http.server.BaseHTTPRequestHandler):
    def handle_git(self):
        wanted = "Basic " + base64.b64encode(b"reader:s3cret").decode()
        if self.headers.get("Authorization") != wanted:
            self.send_response(401); self.send_header("Content-Length", "0"); self.end_headers(); return
        path, _, query = self.path.partition("?")
        if path.startswith("/hung"):
            import time; time.sleep(600)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        env = dict(os.environ, GIT_PROJECT_ROOT=root, GIT_HTTP_EXPORT_ALL="1", PATH_INFO=path, QUERY_STRING=query,
                   REQUEST_METHOD=self.command, CONTENT_TYPE=self.headers.get("Content-Type") or "",
                   REMOTE_USER="reader", CONTENT_LENGTH=str(len(body)))
        out = subprocess.run(["git", "http-backend"], input=body, env=env, stdout=subprocess.PIPE).stdout
        head, _, content = out.partition(b"\r\n\r\n")
        lines = [l.split(": ", 1) for l in head.decode().split("\r\n") if ": " in l]
        status = next((int(v.split()[0]) for k, v in lines if k == "Status"), 200)
        self.send_response(status)
        for k, v in lines:
            if k != "Status": self.send_header(k, v)
        self.send_header("Content-Length", str(len(content))); self.end_headers(); self.wfile.write(content)
    do_GET = do_POST = handle_git
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(*tls)
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

/// The server, and the port that it took.
pub fn serve(at: &Path, tls: &[&str]) -> (Process, u16) {
    std::fs::write(at.join("server.py"), SERVER).expect("a file");
    let mut server = Command::new("python3");
    server.args(["server.py", &at.display().to_string()]).args(tls);
    announced(server.current_dir(at).env("GIT_CONFIG_GLOBAL", "/dev/null"))
}

/// A server, once it said on its first line which port it took.
pub fn announced(server: &mut Command) -> (Process, u16) {
    let mut server = server.stdout(Stdio::piped()).spawn().expect("python3");
    let mut port = String::new();
    BufReader::new(server.stdout.take().expect("output")).read_line(&mut port).expect("a port");
    (Process(server), port.trim().parse().expect("a number"))
}
