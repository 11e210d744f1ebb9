//! Certificates made with openssl: an authority, and what it signs.

use std::path::{Path, PathBuf};

use super::run;

/// A private authority in a directory.
pub struct Authority {
    dir: PathBuf,
    name: String,
}

/// What a certificate is for, and until when it holds.
#[derive(Debug, Clone, Copy)]
pub enum Holds {
    Server,
    Client,
    /// As a server's and a client's, and over since yesterday.
    Expired,
}

impl Authority {
    /// `NAME.pem` and `NAME.key`.
    pub fn new(dir: &Path, name: &str) -> Self {
        let (key, cert) = (format!("{name}.key"), format!("{name}.pem"));
        let subject = format!("/CN={name}");
        let mut args = vec!["req", "-x509", "-days", "2", "-subj", &subject, "-keyout", &key, "-out", &cert];
        args.extend(KEY);
        run("openssl", &args, dir);
        Self { dir: dir.to_owned(), name: name.to_owned() }
    }

    pub fn cert(&self) -> PathBuf {
        self.dir.join(format!("{}.pem", self.name))
    }

    /// Signs `NAME.pem` with `NAME.key`, for 127.0.0.1.
    pub fn sign(&self, name: &str, holds: Holds) {
        let (key, request, cert) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let mut args = vec!["req", "-new", "-subj", "/CN=127.0.0.1", "-keyout", &key, "-out", &request];
        args.extend(KEY);
        run("openssl", &args, &self.dir);
        let usage = match holds {
            Holds::Server => "serverAuth",
            Holds::Client => "clientAuth",
            Holds::Expired => "serverAuth,clientAuth",
        };
        let extensions =
            format!("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage={usage}\n");
        std::fs::write(self.dir.join(format!("{name}.ext")), extensions).expect("a file");
        let (ca, ca_key, ext) =
            (format!("{}.pem", self.name), format!("{}.key", self.name), format!("{name}.ext"));
        // `x509` cannot date back; `ca` can.
        std::fs::write(self.dir.join("ca.cnf"), CONFIG).expect("a file");
        std::fs::write(self.dir.join("index.txt"), "").expect("a file");
        let (from, to) = match holds {
            Holds::Expired => ("20200101000000Z", "20200102000000Z"),
            Holds::Server | Holds::Client => ("20200101000000Z", "20991231000000Z"),
        };
        let sign = [
            "ca",
            "-batch",
            "-notext",
            "-config",
            "ca.cnf",
            "-in",
            &request,
            "-out",
            &cert,
            "-cert",
            &ca,
            "-keyfile",
            &ca_key,
            "-extfile",
            &ext,
            "-startdate",
            from,
            "-enddate",
            to,
        ];
        run("openssl", &sign, &self.dir);
    }
}

const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

const CONFIG: &str = "[ca]\ndefault_ca = here\n[here]\ndatabase = index.txt\nnew_certs_dir = .\ndefault_md = sha256\n\
                      policy = any\nunique_subject = no\nrand_serial = yes\n[any]\ncommonName = supplied\n";
