//! A command's words: split at spaces, with double quotes around what has spaces itself;
//! `\n` and `\"` inside quotes.

/// The words of a line.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if quoted => match letters.next() {
                Some('n') => word.push('\n'),
                other => word.extend(other),
            },
            '"' => (quoted, begun) = (!quoted, true),
            ' ' if !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            _ => {
                word.push(letter);
                begun = true;
            }
        }
    }
    if quoted {
        return Err("a quote is not closed".to_owned());
    }
    if begun {
        words.push(word);
    }
    Ok(words)
}

/// Takes `--name VALUE` out of the words.
pub fn option(words: &mut Vec<String>, name: &str) -> Option<String> {
    let at = words.iter().position(|word| word == name).filter(|at| at + 1 < words.len())?;
    words.remove(at);
    Some(words.remove(at))
}
