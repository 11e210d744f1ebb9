//! Colour for terminals, and nothing where it is switched off.

/// What a piece of text means; the colour follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Something comes to be, or is well.
    Good,
    /// Something changes, or waits.
    Change,
    /// Something goes away, or failed.
    Bad,
    /// A heading.
    Strong,
    /// What may be skipped over.
    Quiet,
}

/// Colours text, or does not.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    on: bool,
}

impl Paint {
    pub const fn new(on: bool) -> Self {
        Self { on }
    }

    /// The code of ours that a text begins with.
    pub fn begins(text: &str) -> Option<&str> {
        let (codes, end) = (["32", "33", "31", "1", "2", "0"], text.find('m')? + 1);
        let ours = codes.contains(&text.get(..end)?.strip_prefix("\u{1b}[")?.strip_suffix('m')?);
        text.get(..end).filter(|_| ours)
    }

    /// `text` must be safe to show already (`escape::line`).
    pub fn ink(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Good => "32",
            Ink::Change => "33",
            Ink::Bad => "31",
            Ink::Strong => "1",
            Ink::Quiet => "2",
        };
        if self.on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
