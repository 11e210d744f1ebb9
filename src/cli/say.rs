//! What is said on standard output and standard error, whether or not somebody still listens.
//!
//! The macros of the standard library panic where the reader is gone (`trueup apply | head -1`); that would end a change
//! half-way. Here the words are lost and the work goes on; `tests/architecture.rs` bans the others.

use std::borrow::Cow;
use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::sync::OnceLock;

use crate::output::visible;

/// Why results on standard output are not complete, though somebody waits for them: a full disk.
static LOST: OnceLock<String> = OnceLock::new();

/// On standard output. `false`: nobody reads it any more.
pub fn out(words: Arguments<'_>) -> bool {
    let said = write(&mut stdout().lock(), words, super::terminal::colour());
    if let Err(error) = &said
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = LOST.set(error.to_string());
    }
    said.is_ok()
}

/// Why a result is not complete: an error of the command, whatever else it did (X).
pub fn lost() -> Option<&'static str> {
    LOST.get().map(String::as_str)
}

/// On standard error. `false`: nobody reads it any more.
pub fn err(words: Arguments<'_>) -> bool {
    write(&mut stderr().lock(), words, false).is_ok()
}

/// Much of what is said was written by others (a commit's author, a container's label, an engine's error): whatever
/// commands a terminal is made visible here, and only here.
fn write(to: &mut dyn Write, words: Arguments<'_>, coloured: bool) -> std::io::Result<()> {
    let words = words.as_str().map_or_else(|| Cow::Owned(words.to_string()), Cow::Borrowed);
    to.write_all(visible(&words, coloured).as_bytes()).and_then(|()| to.flush())
}

macro_rules! out {
    ($($words:tt)*) => {{ let _ = $crate::cli::say::out(format_args!($($words)*)); }};
}

macro_rules! outln {
    () => {{ let _ = $crate::cli::say::out(format_args!("\n")); }};
    ($($words:tt)*) => {{ let _ = $crate::cli::say::out(format_args!("{}\n", format_args!($($words)*))); }};
}

macro_rules! err {
    ($($words:tt)*) => {{ let _ = $crate::cli::say::err(format_args!($($words)*)); }};
}

macro_rules! errln {
    ($($words:tt)*) => {{ let _ = $crate::cli::say::err(format_args!("{}\n", format_args!($($words)*))); }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_is_gone_is_no_reason_to_stop() {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        assert!(write(&mut writer, format_args!("somebody listens\n"), false).is_ok());
        drop(reader);
        let error = write(&mut writer, format_args!("nobody listens\n"), false).expect_err("it is gone");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}
