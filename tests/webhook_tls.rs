//! Reports posted over TLS, to a real server with a certificate of a company's own authority.

#![allow(clippy::expect_used, clippy::panic)]

mod parts;
mod stage;

use std::path::PathBuf;
use std::process::Command;

use parts::certificates::{Authority, Holds};
use stage::http::announced;
use trueup::adapter::reports::ReportsOut;
use trueup::model::webhook::{Webhook, WebhookBody, WebhookUrl};
use trueup::ports::Reports as _;

const SERVER: &str = r#"
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        open("got", "wb").write(body)
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(*sys.argv[1:3])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

#[tokio::test]
async fn a_webhook_behind_a_companys_own_authority_is_reached() {
    let dir = tempfile::tempdir().expect("a directory");
    let (company, stranger) = (Authority::new(dir.path(), "company"), Authority::new(dir.path(), "stranger"));
    company.sign("server", Holds::Server);
    let mut server = Command::new("python3");
    server.args(["-c", SERVER, "server.pem", "server.key"]).current_dir(dir.path());
    let (_server, port) = announced(&mut server);
    let post = async |ca: Option<PathBuf>, body: &str| {
        let url = WebhookUrl::Text(format!("https://127.0.0.1:{port}/hooks/s3cret"));
        let webhook = Webhook { url, token_file: None, ca, body: WebhookBody::Json };
        ReportsOut.post(&webhook, body).await
    };
    let got = || std::fs::read_to_string(dir.path().join("got")).unwrap_or_default();
    for ca in [None, Some(stranger.cert())] {
        let refused = post(ca.clone(), "not for you").await.expect_err("nobody knows it");
        assert!(refused.contains("certificate") && !refused.contains("s3cret"), "{ca:?}: {refused}");
    }
    for (file, text) in [("nowhere.pem", None), ("empty.pem", Some("no certificate\n"))] {
        let file = dir.path().join(file);
        text.iter().for_each(|text| std::fs::write(&file, text).expect("a file"));
        let refused = post(Some(file.clone()), "not for you").await.expect_err("no authority");
        assert!(refused.contains(&file.display().to_string()), "{refused}");
    }
    assert_eq!(got(), "");
    post(Some(company.cert()), "the report").await.expect("posted");
    assert_eq!(got(), "the report");
    // One bundle has the authority on its way out and its successor. It is read anew each time.
    let bundle = dir.path().join("bundle.pem");
    let text = [&stranger, &company].map(|ca| std::fs::read_to_string(ca.cert()).expect("a certificate"));
    std::fs::write(&bundle, text.concat()).expect("a file");
    post(Some(bundle), "another").await.expect("posted");
    assert_eq!(got(), "another");
}
