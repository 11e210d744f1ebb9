//! What is said on standard output and standard error, whether or not somebody still listens.
//!
//! The macros of the standard library panic where the reader is gone (`trueup apply | head -1`); that would end a change
//! half-way. Here the words are lost and the work goes on; `tests/architecture.rs` bans the others.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::sync::OnceLock;

/// Why results on standard output are not complete, though somebody waits for them: a full disk.
static LOST: OnceLock<String> = OnceLock::new();

/// On standard output. `false`: nobody reads it any more.
pub fn out(words: Arguments<'_>) -> bool {
    let said = write(&mut stdout().lock(), words);
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
    write(&mut stderr().lock(), words).is_ok()
}

fn write(to: &mut dyn Write, words: Arguments<'_>) -> std::io::Result<()> {
    to.write_fmt(words).and_then(|()| to.flush())
}

/// As it is: JSON, files, colours, and what `output` made safe.
macro_rules! out {
    ($($words:tt)*) => {{ let _ = $crate::cli::say::out(format_args!($($words)*)); }};
}

/// Words for a person, made safe: nothing that they quote commands the terminal.
macro_rules! outln {
    () => {{ let _ = $crate::cli::say::out(format_args!("\n")); }};
    ($($words:tt)*) => {{
        let words = $crate::output::shown(&format!($($words)*));
        let _ = $crate::cli::say::out(format_args!("{words}\n"));
    }};
}

/// As it is, on standard error.
macro_rules! err {
    ($($words:tt)*) => {{ let _ = $crate::cli::say::err(format_args!($($words)*)); }};
}

/// Words for a person on standard error, made safe.
macro_rules! errln {
    ($($words:tt)*) => {{
        let words = $crate::output::shown(&format!($($words)*));
        let _ = $crate::cli::say::err(format_args!("{words}\n"));
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_is_gone_is_no_reason_to_stop() {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        assert!(write(&mut writer, format_args!("somebody listens\n")).is_ok());
        drop(reader);
        let error = write(&mut writer, format_args!("nobody listens\n")).expect_err("it is gone");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}
