//! A config repository whose people sign with real keys: `git commit -S` with `gpg.format = ssh`, and ssh-keygen.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use trueup::config::own;
use trueup::model::permission::PermissionSettings;

/// A directory with a repository `repo`, and beside it one key for each name, `NAME` and `NAME.pub`.
pub struct Team {
    dir: tempfile::TempDir,
}

impl Team {
    /// `people` have ed25519 keys.
    pub fn new(people: &[&str]) -> Self {
        let team = Self { dir: tempfile::tempdir().expect("a temporary directory") };
        std::fs::create_dir_all(team.repo()).expect("a directory");
        team.git(&["init", "-q", "-b", "main"]);
        for name in people {
            team.key(name, &["-t", "ed25519"]);
        }
        team
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    /// Makes a key of another kind.
    pub fn key(&self, name: &str, kind: &[&str]) {
        let args = [kind, &["-q", "-N", "", "-C", name, "-f", name]].concat();
        super::source::run("ssh-keygen", &args, self.dir());
    }

    /// `ssh-ed25519 AAAA… NAME`.
    pub fn public(&self, name: &str) -> String {
        let file = self.dir().join(format!("{name}.pub"));
        std::fs::read_to_string(file).expect("a public key").trim().to_owned()
    }

    /// A line of allowed_signers.
    pub fn line(&self, name: &str, options: &str) -> String {
        format!("{name}@example.org {options} {}", self.public(name))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.repo());
        for (name, value) in [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_AUTHOR_NAME", "Ada"),
            ("GIT_AUTHOR_EMAIL", "ada@example.org"),
            ("GIT_COMMITTER_NAME", "Ada"),
            ("GIT_COMMITTER_EMAIL", "ada@example.org"),
        ] {
            command.env(name, value);
        }
        command
    }

    /// Unsigned, whatever is committed.
    pub fn git(&self, args: &[&str]) -> String {
        self.run(self.command("git").args(args), args)
    }

    /// Signed by `name`, whatever is committed; with a date where there is one.
    pub fn git_as(&self, name: &str, date: Option<&str>, args: &[&str]) -> String {
        let mut command = self.command("git");
        command.args(["-c", "gpg.format=ssh", "-c", "commit.gpgsign=true", "-c", "tag.gpgsign=true", "-c"]);
        command.arg(format!("user.signingkey={}", self.dir().join(name).display()));
        if let Some(date) = date {
            command.env("GIT_COMMITTER_DATE", date).env("GIT_AUTHOR_DATE", date);
        }
        self.run(command.args(args), args)
    }

    fn run(&self, command: &mut Command, args: &[&str]) -> String {
        let output = command.output().expect("git");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {}: {error}", args.join(" "));
        String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
    }

    /// Writes a file; the next commit has it.
    pub fn write(&self, path: &str, text: &str) {
        let file = self.repo().join(path);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
        std::fs::write(file, text).expect("a file");
        self.git(&["add", "-A"]);
    }

    /// A commit of what was written, signed by somebody or by nobody.
    pub fn commit(&self, by: Option<&str>, message: &str) -> String {
        let args = ["commit", "-q", "--allow-empty", "-m", message];
        match by {
            Some(name) => self.git_as(name, None, &args),
            None => self.git(&args),
        };
        self.head()
    }

    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// The bytes of a commit.
    pub fn object(&self, id: &str) -> String {
        self.git(&["cat-file", "commit", id]) + "\n"
    }

    /// A commit of these very bytes, which nothing refers to.
    pub fn forge(&self, object: &str) -> String {
        let args = ["hash-object", "-t", "commit", "-w", "--stdin", "--literally"];
        String::from_utf8_lossy(&self.fed("git", &args, object.as_bytes()).stdout).trim().to_owned()
    }

    /// What `ssh-keygen -Y sign` makes of a text.
    pub fn sign(&self, name: &str, namespace: &str, options: &[&str], text: &str) -> String {
        let key = self.dir().join(name).display().to_string();
        let args = [&["-Y", "sign", "-q", "-f", &key, "-n", namespace], options].concat();
        let output = self.fed("ssh-keygen", &args, text.as_bytes());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn fed(&self, program: &str, args: &[&str], input: &[u8]) -> Output {
        let mut child = self
            .command(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        child.stdin.take().expect("its input").write_all(input).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {}: {error}", args.join(" "));
        output
    }

    /// What git itself says of a commit's signature, with these lines for allowed_signers.
    pub fn git_verifies(&self, id: &str, lines: &[String]) -> bool {
        let file = self.dir().join("allowed");
        std::fs::write(&file, lines.join("\n") + "\n").expect("a file");
        let output = self
            .command("git")
            .args(["-c", "gpg.format=ssh", "-c"])
            .arg(format!("gpg.ssh.allowedSignersFile={}", file.display()))
            .args(["verify-commit", id])
            .output()
            .expect("git");
        output.status.success()
    }

    /// The settings of mode `signed` with these lines, as the reconciler's own file has them.
    pub fn signed(&self, lines: &[String], more: &str) -> PermissionSettings {
        self.settings(&format!("mode = \"signed\"\nsigners = {lines:?}\n{more}"))
    }

    pub fn settings(&self, section: &str) -> PermissionSettings {
        let text = format!(
            "installation = \"t\"\nkey_file = \"hash.key\"\n[repository]\nurl = {:?}\n[permission]\n{section}\n",
            self.repo().display().to_string()
        );
        std::fs::write(self.dir().join("hash.key"), "0".repeat(64)).expect("a file");
        let settings = own::parse(&text, "trueup.toml", self.dir(), &|path| std::fs::read(path));
        settings.map_err(|errors| errors.to_string()).expect("settings").permission
    }
}

/// The object without its signature, and the signature's header.
pub fn apart(object: &str) -> (String, String) {
    let (before, rest) = object.split_once("gpgsig ").expect("a signature");
    let end =
        rest.find("-----END SSH SIGNATURE-----\n").expect("its end") + "-----END SSH SIGNATURE-----\n".len();
    (format!("{before}{}", &rest[end..]), format!("gpgsig {}", &rest[..end]))
}

/// The object with a signature's text as its header.
pub fn with_signature(object: &str, signature: &str) -> String {
    let (head, message) = object.split_once("\n\n").expect("a message");
    let lines: Vec<&str> = signature.trim_end().lines().collect();
    format!("{head}\ngpgsig {}\n\n{message}", lines.join("\n "))
}
