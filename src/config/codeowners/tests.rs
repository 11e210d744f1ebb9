//! What each forge's manual says of its CODEOWNERS files.

use super::{CodeOwners, Forge};

/// `@a @b; Section: @c; ^Section: @d`.
fn told(owners: &CodeOwners, path: &str) -> String {
    let one = |share: super::Share| {
        let optional = if share.optional { "^" } else { "" };
        let section = share.section.map(|name| format!("{optional}{name}: ")).unwrap_or_default();
        section + &share.owners.join(" ")
    };
    owners.of(path).into_iter().map(one).collect::<Vec<_>>().join("; ")
}

fn holds(forge: Forge, text: &str, cases: &[(&str, &str)]) {
    let owners = CodeOwners::parse(text, forge);
    assert_eq!(owners.problems, Vec::<String>::new());
    for (path, wanted) in cases {
        assert_eq!(told(&owners, path), *wanted, "{path} in {text:?}");
    }
}

#[test]
fn github_takes_the_last_pattern_that_matches() {
    let text = "# everyone\n* @all\n*.js @js # inline\n/build/logs/ @ops\ndocs/* docs@example.org\napps/ @apps\n\
                /scripts/ @ada @bob\n**/logs @logs\n/apps/github\nwith\\ space/ @space\n/a/**/z @deep\n";
    holds(
        Forge::GitHub,
        text,
        &[
            ("README", "@all"),
            ("a/b/c.js", "@js"),
            ("build/logs/x/y", "@logs"),
            ("other/build/logs", "@logs"),
            ("build/logs2", "@all"),
            ("docs/one.md", "docs@example.org"),
            ("docs/more/two.md", "@all"),
            ("other/docs/x.md", "@all"),
            ("apps/web/app.toml", "@apps"),
            ("deep/apps/x", "@apps"),
            ("scripts/x", "@ada @bob"),
            ("deep/scripts/x", "@all"),
            ("apps/github", ""),
            ("apps/github/x", ""),
            ("with space/x", "@space"),
            ("a/z", "@deep"),
            ("a/b/c/z", "@deep"),
        ],
    );
    let odd = CodeOwners::parse("!x @a\n[ab] @a\nx nobody\n* @all\n", Forge::GitHub);
    assert_eq!(odd.problems.len(), 3, "{:?}", odd.problems);
    assert_eq!(told(&odd, "x"), "@all");
}

#[test]
fn gitlab_asks_each_section_for_itself() {
    let text = "* @all\nREADME.md @docs @lead\n\\#odd @hash\n/docs/ @docs\n/docs/* @root-docs\n/docs/**/*.md @md\nlib/ @lib\n\
                [Database] @dba\nmodel/db/\nconfig/db/setup.md @docs-team\n^[Tests][2] @qa\n*_spec.rb\n\
                [database]\n*.sql @dba\n!vendor/*.sql\n";
    holds(
        Forge::GitLab,
        text,
        &[
            ("x", "@all"),
            (".hidden", "@all"),
            ("a/README.md", "@docs @lead"),
            ("#odd", "@hash"),
            ("docs/x", "@root-docs"),
            ("docs/a/x", "@docs"),
            ("docs/a/x.md", "@md"),
            ("a/lib/b/c", "@lib"),
            ("model/db/a/b", "@all; Database: @dba"),
            ("config/db/setup.md", "@all; Database: @docs-team"),
            ("a/b_spec.rb", "@all; ^Tests: @qa"),
            ("model/db/x.sql", "@all; Database: @dba"),
            ("vendor/x.sql", "@all"),
        ],
    );
}

#[test]
fn a_section_that_is_named_again_keeps_only_its_own_default_owners() {
    let owners = CodeOwners::parse("[A] @one\nx\n[a] @two\ny\n[B]\nz\n", Forge::GitLab);
    assert_eq!(
        (told(&owners, "x"), told(&owners, "y"), told(&owners, "z")),
        ("A: @one".into(), "A: @two".into(), String::new())
    );
}

#[test]
fn gitea_asks_everyone_whose_expression_matches() {
    let text = ".*\\\\.toml @ada @bob # comment\napps/web/.* @org/web @ada\n!apps/.* @ops\ndir/with\\#hash @hash\n\
                path\\ with\\ space @space\n";
    holds(
        Forge::Gitea,
        text,
        &[
            ("apps/web/app.toml", "@ada @bob @org/web"),
            ("fleet.toml", "@ada @bob @ops"),
            ("apps/x", ""),
            ("dir/with#hash", "@ops @hash"),
            ("path with space", "@ops @space"),
            ("toml", "@ops"),
        ],
    );
    let odd = CodeOwners::parse("( @a\nx\n", Forge::Gitea);
    assert_eq!(odd.problems.len(), 2, "{:?}", odd.problems);
}

proptest::proptest! {
    #[test]
    fn no_file_of_owners_harms(text in ".{0,200}", path in "[a-z/.]{0,40}") {
        for forge in [Forge::GitHub, Forge::GitLab, Forge::Gitea] {
            let _ = CodeOwners::parse(&text, forge).of(&path);
        }
    }
}
