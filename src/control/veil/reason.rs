//! Why something could not be read, without what an engine answered: a parser's error quotes the value that it did not
//! expect, and an engine's may name anything (G1).

/// What the adapter adds to an error of a kind, and the kind in a word or two.
const KINDS: [(&str, &str); 4] = [
    ("is the engine running", "nobody answered"),
    ("is the host overloaded", "no answer in time"),
    ("is this the address of a Docker engine", "the answer was not as the API has it"),
    ("the engine's own log", "the engine failed"),
];
const OTHERS: &str = "the engine's words are not in a snapshot";

/// Where and which call, and how it went; without a call, trueup's own words without what is quoted in them.
pub(super) fn neutral(why: &str) -> String {
    let call = ["GET /", "HEAD /"].iter().filter_map(|method| why.find(method)).min();
    let said = call.and_then(|call| Some(call + why.get(call..)?.find(": ")?));
    match said.and_then(|said| why.split_at_checked(said)) {
        Some((call, said)) => {
            let kind =
                KINDS.iter().find(|(advice, _)| said.contains(advice)).map_or(OTHERS, |(_, kind)| kind);
            format!("{}: {kind}", unquoted(call))
        }
        None => unquoted(why),
    }
}

/// Parsers do not escape the quotes within what they quote: everything from the first to the last goes.
fn unquoted(text: &str) -> String {
    let quote = ['"', '`'];
    match (text.find(quote), text.rfind(quote)) {
        (Some(first), Some(last)) if first < last => {
            let (before, after) =
                (text.get(..first).unwrap_or_default(), text.get(last + 1..).unwrap_or_default());
            format!("{before}…{after}")
        }
        (Some(first), _) => format!("{}…", text.get(..first).unwrap_or_default()),
        (None, _) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_and_how_is_kept_and_what_was_said_is_not() {
        for (why, kept) in [
            (
                "h1: GET /containers/c1/json: invalid type: string \"s3cr3t\", expected u32 at line 1 column 9; is this \
                 the address of a Docker engine?",
                "h1: GET /containers/c1/json: the answer was not as the API has it",
            ),
            (
                "h1: GET /info: Connection refused; is the engine running, and is this its address?",
                "h1: GET /info: nobody answered",
            ),
            ("h1: GET /info: no: s3cr3t", "h1: GET /info: the engine's words are not in a snapshot"),
            (
                "GET /networks: invalid value s3cr3t",
                "GET /networks: the engine's words are not in a snapshot",
            ),
            (
                "no manager answers for it: h1: GET /swarm: s3cr3t; is the host overloaded, or the network cut?; h2: GET \
                 /swarm: s3cr3t",
                "no manager answers for it: h1: GET /swarm: no answer in time",
            ),
            (
                "its health check: unknown variant `s3`cr3t`, expected `a` or `b`",
                "its health check: unknown variant …",
            ),
            ("\"s3cr3t is no name", "…"),
            (
                "h1: the engine did not finish answering within 30 s",
                "h1: the engine did not finish answering within 30 s",
            ),
        ] {
            assert_eq!(neutral(why), kept);
        }
    }
}
