//! Who signed a commit, as git itself says it: every kind of key, every shape of commit, and forgeries (F1).

#![allow(clippy::expect_used, clippy::panic)]

mod stage;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sha2::{Digest as _, Sha256, Sha512};
use stage::source;
use stage::team::{Team, apart, with_signature};
use trueup::adapter::clock::SystemClock;
use trueup::model::names::Revision;
use trueup::model::permission::{PermissionSettings, Signature, SignedCommit, Verdict};
use trueup::model::settings::Reference;
use trueup::model::units::Timestamp;
use trueup::ports::{Clock as _, Repository as _, SourceError};

const MANY: usize = 1000;

fn now() -> Timestamp {
    SystemClock.now()
}

async fn between(team: &Team, base: &str, head: &str) -> Result<Vec<SignedCommit>, SourceError> {
    let repository = source::local(&team.repo());
    repository.signatures(Some(&Revision::new(base)), &Revision::new(head), MANY).await
}

async fn one(team: &Team, id: &str) -> SignedCommit {
    let repository = source::local(&team.repo());
    let found = repository.signatures(None, &Revision::new(id), MANY).await.expect("a commit");
    found.into_iter().next().expect("one")
}

async fn refused(team: &Team, settings: &PermissionSettings, id: &str) -> Option<String> {
    match settings.judge(&one(team, id).await, now()) {
        Verdict::Signed { .. } => None,
        Verdict::Refused(why) => Some(why),
    }
}

/// git and trueup say the same of this commit; trueup's reason, where it is refused.
async fn same_as_git(team: &Team, lines: &[String], id: &str) -> Option<String> {
    let ours = refused(team, &team.signed(lines, ""), id).await;
    assert_eq!(ours.is_none(), team.git_verifies(id, lines), "{id}: {ours:?}\n{}", team.object(id));
    ours
}

#[tokio::test]
async fn every_kind_of_key_is_verified_as_git_verifies_it() {
    let team = Team::new(&["stranger"]);
    let kinds: [(&str, &[&str]); 5] = [
        ("ed25519", &["-t", "ed25519"]),
        ("rsa2048", &["-t", "rsa", "-b", "2048"]),
        ("rsa3072", &["-t", "rsa", "-b", "3072"]),
        ("p256", &["-t", "ecdsa", "-b", "256"]),
        ("p384", &["-t", "ecdsa", "-b", "384"]),
    ];
    let mut lines = Vec::new();
    for (name, kind) in kinds {
        team.key(name, kind);
        lines.push(team.line(name, "namespaces=\"git\""));
    }
    for (name, _) in kinds {
        // Several, since a number of an ECDSA signature is shorter now and then.
        for n in 0..6 {
            let id = team.commit(Some(name), &format!("by {name}, {n}"));
            assert_eq!(same_as_git(&team, &lines, &id).await, None, "{name}");
            let Signature::By(key) = one(&team, &id).await.signature else { panic!("{name}: a signature") };
            assert!(team.public(name).starts_with(key.algorithm()), "{name}: {key}");
        }
        // The other hash that ssh-keygen knows.
        let (plain, _) = apart(&team.object(&team.head()));
        let other = team.sign(name, "git", &["-O", "hashalg=sha256"], &plain);
        let id = team.forge(&with_signature(&plain, &other));
        assert_eq!(same_as_git(&team, &lines, &id).await, None, "{name} with sha256");
    }
    let id = team.commit(Some("stranger"), "by a stranger");
    let why = same_as_git(&team, &lines, &id).await.expect("refused");
    let print = String::from_utf8(
        std::process::Command::new("ssh-keygen")
            .arg("-lf")
            .arg(team.dir().join("stranger.pub"))
            .output()
            .expect("ssh-keygen")
            .stdout,
    );
    let print = print.expect("text").split_whitespace().nth(1).expect("a fingerprint").to_owned();
    assert!(why.contains("no trusted key") && why.contains(&print), "{why} {print}");

    // One kind cannot be verified, and is told.
    team.key("p521", &["-t", "ecdsa", "-b", "521"]);
    let id = team.commit(Some("p521"), "by p521");
    let why = refused(&team, &team.signed(&lines, ""), &id).await.expect("refused");
    assert!(why.contains("ecdsa-sha2-nistp521") && why.contains("cannot be verified here"), "{why}");
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(bytes.len()).expect("short").to_be_bytes().to_vec();
    out.extend(bytes);
    out
}

/// What a security key would make: the format is OpenSSH's PROTOCOL.u2f, and git judges with us.
#[tokio::test]
async fn a_security_key_is_verified_as_git_verifies_it() {
    let team = Team::new(&[]);
    let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).expect("a key");
    let kind = b"sk-ssh-ed25519@openssh.com";
    let blob = [string(kind), string(pair.public_key().as_ref()), string(b"ssh:")].concat();
    let line = format!("token@example.org sk-ssh-ed25519@openssh.com {}", STANDARD.encode(&blob));
    let id = team.commit(None, "to be signed");
    let plain = team.object(&id);
    let signed = [
        b"SSHSIG".to_vec(),
        string(b"git"),
        string(b""),
        string(b"sha512"),
        string(&Sha512::digest(plain.as_bytes())),
    ]
    .concat();
    let noted = [1, 0, 0, 0, 7];
    let touched = [&Sha256::digest(b"ssh:")[..], &noted, &Sha256::digest(&signed)[..]].concat();
    let make = |noted: [u8; 5]| {
        let signature = [string(kind), string(pair.sign(&touched).as_ref()), noted.to_vec()].concat();
        let whole = [
            b"SSHSIG\0\0\0\x01".to_vec(),
            string(&blob),
            string(b"git"),
            string(b""),
            string(b"sha512"),
            string(&signature),
        ]
        .concat();
        let text = STANDARD.encode(whole);
        let lines: Vec<&str> =
            text.as_bytes().chunks(70).map(|c| std::str::from_utf8(c).expect("ASCII")).collect();
        format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
    };
    let id = team.forge(&with_signature(&plain, &make(noted)));
    assert_eq!(same_as_git(&team, std::slice::from_ref(&line), &id).await, None);
    // Another counter than was signed.
    let id = team.forge(&with_signature(&plain, &make([1, 0, 0, 0, 8])));
    assert!(same_as_git(&team, &[line], &id).await.is_some());
}

#[tokio::test]
async fn every_shape_of_commit_is_taken_apart_as_git_does_it() {
    let team = Team::new(&["ada"]);
    let lines = [team.line("ada", "")];
    let mut ids = vec![team.commit(Some("ada"), "first")];
    for message in [
        "",
        "two\n\nparagraphs\n\n gpgsig of no meaning\n",
        "gpgsig -----BEGIN",
        "\u{e4}\u{f6}\u{fc} \u{1F600}",
    ] {
        team.git_as("ada", None, &["commit", "-q", "--allow-empty", "--allow-empty-message", "-m", message]);
        ids.push(team.head());
    }
    team.git_as(
        "ada",
        None,
        &["-c", "i18n.commitEncoding=ISO-8859-1", "commit", "-q", "--allow-empty", "-m", "\u{e4}"],
    );
    ids.push(team.head());
    // A signed tag that is merged stands in the merge as a header of many lines, with a signature of its own in it.
    team.git(&["checkout", "-q", "-b", "side", "HEAD~2"]);
    team.write("side", "1\n");
    team.commit(Some("ada"), "on the side");
    team.git_as("ada", None, &["tag", "-m", "a tag\n\ngpgsig x", "v1"]);
    team.git(&["checkout", "-q", "main"]);
    team.git_as("ada", None, &["merge", "-q", "--no-ff", "-m", "merge v1", "v1"]);
    assert!(team.object(&team.head()).contains("\nmergetag object"), "{}", team.object(&team.head()));
    ids.push(team.head());
    for id in &ids {
        assert_eq!(same_as_git(&team, &lines, id).await, None, "{}", team.object(id));
    }
    let merge = one(&team, &team.head()).await;
    assert!(
        merge.merge && merge.author == "Ada <ada@example.org>" && merge.summary == "merge v1",
        "{merge:?}"
    );
}

/// What git leaves out of what is signed proves nothing by itself; what it signs may be of any name.
#[tokio::test]
async fn other_headers_are_signed_or_prove_nothing() {
    let team = Team::new(&["ada"]);
    let lines = [team.line("ada", "")];
    let signed = team.object(&team.commit(Some("ada"), "first"));
    let (bare, header) = apart(&signed);
    // A signature under the name of the other object format, over the very same bytes.
    let only = with_signature(&bare, &header_text(&header)).replacen("gpgsig ", "gpgsig-sha256 ", 1);
    let why = same_as_git(&team, &lines, &team.forge(&only)).await.expect("refused");
    assert!(why.contains("it is not signed"), "{why}");
    // Beside a good one it changes nothing: git does not sign it either.
    let both =
        signed.replacen("gpgsig ", &format!("{}gpgsig ", header.replacen("gpgsig ", "gpgsig-sha256 ", 1)), 1);
    assert_eq!(same_as_git(&team, &lines, &team.forge(&both)).await, None);
    // A header that nobody knows is covered like all others, and cannot be added afterwards.
    let unknown = bare.replacen("\n\n", "\nx-review 42\n\n", 1);
    let good = with_signature(&unknown, &team.sign("ada", "git", &[], &unknown));
    assert_eq!(same_as_git(&team, &lines, &team.forge(&good)).await, None);
    let added = signed.replacen("\n\n", "\nx-review 42\n\n", 1);
    let why = same_as_git(&team, &lines, &team.forge(&added)).await.expect("refused");
    assert!(why.contains("does not verify"), "{why}");
}

/// A tag is followed to its commit, and who signed the tag is nothing to the commit.
#[tokio::test]
async fn a_signed_tag_does_not_sign_its_commit() {
    let team = Team::new(&["ada"]);
    let lines = [team.line("ada", "")];
    let id = team.commit(None, "unsigned");
    team.git_as("ada", None, &["tag", "-m", "signed", "v1"]);
    team.git_as("ada", None, &["tag", "-m", "of a tag", "v2", "v1"]);
    for tag in ["v1", "v2"] {
        let mut settings = source::settings(&team.repo().display().to_string());
        settings.reference = Reference::Tag(tag.to_owned());
        let head = source::open(&settings, team.dir()).head().await.expect("a head");
        assert_eq!(head.as_str(), id, "{tag}");
        let why = refused(&team, &team.signed(&lines, ""), head.as_str()).await.expect("refused");
        assert!(why.contains("it is not signed"), "{why}");
    }
}

#[tokio::test]
async fn a_forged_signature_proves_nothing() {
    let team = Team::new(&["ada"]);
    let lines = [team.line("ada", "")];
    let root = team.commit(Some("ada"), "first");
    team.git(&["checkout", "-q", "-b", "side"]);
    team.write("a", "1\n");
    team.commit(Some("ada"), "side");
    team.git(&["checkout", "-q", "main"]);
    team.write("b", "1\n");
    let plain = team.commit(None, "unsigned");
    let merge = team.git_as("ada", None, &["merge", "-q", "--no-ff", "-m", "m", "side"]);
    assert_eq!(merge, "");
    let merge = team.object(&team.head());
    let (bare, header) = apart(&merge);
    let parent = bare.lines().find(|l| l.starts_with("parent ")).expect("a parent").to_owned() + "\n";
    let signature = |namespace: &str, text: &str| team.sign("ada", namespace, &[], text);
    let swap = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{from:?} is in {text}");
        text.replacen(from, to, 1)
    };
    // What is made, why it is refused, and whether git refuses it as well: we are stricter with what git never writes.
    let forgeries = [
        ("moved", with_signature(&team.object(&plain), &header_text(&header)), "does not verify", true),
        ("author", swap(&merge, "author Ada", "author Eve"), "does not verify", true),
        ("tree", swap(&merge, &bare[..45], &team.object(&root)[..45]), "does not verify", true),
        ("message", swap(&merge, "\n\nm\n", "\n\nM\n"), "does not verify", true),
        ("a parent less", swap(&merge, &parent, ""), "does not verify", true),
        ("namespace", with_signature(&bare, &signature("file", &bare)), "was made for \"file\"", true),
        ("twice", swap(&merge, "gpgsig ", &format!("{header}gpgsig ")), "malformed", false),
        ("empty", swap(&merge, &header, "gpgsig \n"), "malformed", true),
        ("cut", swap(&merge, "-----END SSH SIGNATURE-----", "-----END"), "malformed", true),
        ("no base64", swap(&merge, "\n U1NIU0lH", "\n !1NIU0lH"), "malformed", true),
        (
            "pgp",
            with_signature(&bare, "-----BEGIN PGP SIGNATURE-----\n\nx\n-----END PGP SIGNATURE-----"),
            "PGP",
            true,
        ),
        // The signed bytes are those of the merge in each of these; where readers look for parents, others stand.
        ("among parents", swap(&bare, &parent, &format!("{parent}{header}")), "malformed", false),
        ("before the tree", format!("{header}{bare}"), "malformed", false),
        ("another header", swap(&merge, "gpgsig ", "gpgsigx y\ngpgsig "), "malformed", false),
    ];
    for (what, object, why, git_too) in forgeries {
        let id = team.forge(&object);
        let said = refused(&team, &team.signed(&lines, ""), &id).await;
        assert!(said.as_ref().is_some_and(|said| said.contains(why)), "{what}: {said:?}");
        if git_too {
            assert!(!team.git_verifies(&id, &lines), "{what}: git takes it");
        }
    }
    assert_eq!(same_as_git(&team, &lines, &team.forge(&merge)).await, None, "the merge itself");
}

/// The armored text of a header.
fn header_text(header: &str) -> String {
    header.trim_start_matches("gpgsig ").replace("\n ", "\n")
}

/// Keys' times as git asks them, by the commit's own date; and by the clock besides.
#[tokio::test]
async fn a_key_has_its_time_and_its_purpose() {
    let team = Team::new(&["ada", "spare"]);
    team.git_as("ada", Some("2024-06-01T00:00:00Z"), &["commit", "-q", "--allow-empty", "-m", "x"]);
    let old = team.head();
    let line = |options: &str| [team.line("ada", options), team.line("spare", "")];
    for (options, why) in [
        ("valid-after=\"20240101Z\"", None),
        ("valid-after=\"20250101Z\"", Some("not trusted before")),
        ("valid-before=\"20240101Z\"", Some("trust ended")),
        ("namespaces=\"file\"", Some("other things than git")),
        ("namespaces=\"f*,git\"", None),
    ] {
        let said = same_as_git(&team, &line(options), &old).await;
        let fits = match (&said, why) {
            (None, None) => true,
            (Some(said), Some(why)) => said.contains(why),
            (Some(_), None) | (None, Some(_)) => false,
        };
        assert!(fits, "{options}: {said:?}");
    }
    // git asks for the commit's own date alone, which whoever took an expired key may write.
    let expired = line("valid-before=\"20240701Z\"");
    assert!(team.git_verifies(&old, &expired));
    let said = refused(&team, &team.signed(&expired, ""), &old).await.expect("refused");
    assert!(said.contains("trust ended at 2024-07-01T00:00:00Z"), "{said}");
}

/// Every commit that the head has and the base has not, whatever the shape, neither more nor less than git counts.
#[tokio::test]
async fn the_range_is_gits_own() {
    let team = Team::new(&[]);
    let mut all = vec![team.commit(None, "root")];
    // A history of forks and merges, criss-cross ones among them, made by a small generator.
    let mut state = 12345u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(state >> 16).expect("small") % below
    };
    let tree = team.git(&["rev-parse", "HEAD^{tree}"]);
    for n in 0..60 {
        let mut parents: Vec<String> = Vec::new();
        for _ in 0..=random(3) {
            let at = all.len() - 1 - random(all.len().min(6));
            if !parents.contains(&all[at]) {
                parents.push(all[at].clone());
            }
        }
        let message = format!("commit {n}");
        let mut args = vec!["commit-tree", tree.as_str(), "-m", &message];
        parents.iter().for_each(|parent| args.extend(["-p", parent]));
        all.push(team.git(&args));
    }
    // And one that shares nothing.
    all.push(team.git(&["commit-tree", &tree, "-m", "another root"]));
    let join = team.git(&["commit-tree", &tree, "-m", "joined", "-p", &all[60], "-p", &all[61]]);
    all.push(join);
    let repository = source::local(&team.repo());
    for n in 0..200 {
        let (base, head) = (&all[random(all.len())], &all[random(all.len())]);
        let found = repository.signatures(Some(&Revision::new(base)), &Revision::new(head), MANY).await;
        let mut found: Vec<String> =
            found.expect("a range").iter().map(|commit| commit.revision.to_string()).collect();
        let listed = team.git(&["rev-list", &format!("{base}..{head}")]);
        let mut listed: Vec<String> = listed.lines().map(str::to_owned).collect();
        found.sort();
        listed.sort();
        assert_eq!(found, listed, "{n}: {base}..{head}");
        let descends = repository.descends(&Revision::new(head), &Revision::new(base)).await.expect("known");
        let output = std::process::Command::new("git")
            .args(["merge-base", "--is-ancestor", base, head])
            .current_dir(team.repo())
            .status();
        assert_eq!(descends, output.expect("git").success());
    }
    let few = repository.signatures(Some(&Revision::new(&all[0])), &Revision::new(&all[62]), 3).await;
    let why = few.expect_err("too many").to_string();
    assert!(why.contains("more than 3 commits") && why.contains("most_commits"), "{why}");
}

/// Neither replaced objects nor grafts hide a commit (they are local to a clone, and a fetch may bring the former).
#[tokio::test]
async fn replacements_and_grafts_do_not_fool_it() {
    let team = Team::new(&["ada"]);
    let base = team.commit(Some("ada"), "base");
    let unsigned = team.commit(None, "unsigned");
    let head = team.commit(Some("ada"), "signed on top");
    let twin = team.git_as(
        "ada",
        None,
        &["commit-tree", &format!("{base}^{{tree}}"), "-S", "-p", &base, "-m", "a twin"],
    );
    team.git(&["replace", &unsigned, &twin]);
    assert!(team.git(&["cat-file", "commit", &unsigned]).contains("gpgsig"), "git itself is fooled");
    std::fs::create_dir_all(team.repo().join(".git/info")).expect("a directory");
    std::fs::write(team.repo().join(".git/info/grafts"), format!("{head} {base}\n")).expect("a file");
    let found = between(&team, &base, &head).await.expect("a range");
    let ids: Vec<String> = found.iter().map(|commit| commit.revision.to_string()).collect();
    assert_eq!(ids, [head.clone(), unsigned.clone()]);
    assert_eq!(found[1].signature, Signature::None);
    // Nor do they make a descendant.
    let orphan = team.git(&["commit-tree", &format!("{base}^{{tree}}"), "-m", "orphan"]);
    std::fs::write(team.repo().join(".git/info/grafts"), format!("{orphan} {base}\n")).expect("a file");
    let repository = source::local(&team.repo());
    let descends = repository.descends(&Revision::new(&orphan), &Revision::new(&base)).await;
    assert!(!descends.expect("known"), "a graft makes no descendant");
}

/// What a shallow clone does not have is unknown, and not nothing (A1).
#[tokio::test]
async fn a_shallow_clone_is_unknown_where_it_ends() {
    let team = Team::new(&["ada"]);
    let base = team.commit(Some("ada"), "base");
    let second = team.commit(Some("ada"), "second");
    team.commit(None, "third");
    let head = team.commit(Some("ada"), "head");
    let clone = team.dir().join("shallow");
    let url = format!("file://{}", team.repo().display());
    team.git(&["clone", "-q", "--depth", "2", &url, &clone.display().to_string()]);
    let repository = source::local(&clone);
    let asked = repository.signatures(Some(&Revision::new(&base)), &Revision::new(&head), MANY).await;
    let why = asked.expect_err("unknown").to_string();
    assert!(why.contains("shallow") && why.contains("--unshallow") && why.contains(&second), "{why}");
    let why = repository.descends(&Revision::new(&head), &Revision::new(&base)).await.expect_err("unknown");
    assert!(why.to_string().contains(&second), "{why}");
    // What is there is known, also at the edge.
    let third = team.git(&["rev-parse", "HEAD~1"]);
    let found = repository.signatures(Some(&Revision::new(&third)), &Revision::new(&head), MANY).await;
    assert_eq!(found.expect("a range").len(), 1);
}
