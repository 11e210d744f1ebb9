//! Exit codes, in one order for all commands (section X).

/// What a command found. Where several hold: 1, then 3, then 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Found {
    /// Something failed, or could not be done at all.
    pub error: bool,
    /// Something is unknown, blocked or held, or the head of the repository is not what is enforced (A2).
    pub unclear: bool,
    /// Something would be changed, or is still to be.
    pub changes: bool,
}

impl Found {
    pub const fn exit_code(self) -> u8 {
        match (self.error, self.unclear, self.changes) {
            (true, _, _) => 1,
            (false, true, _) => 3,
            (false, false, true) => 2,
            (false, false, false) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_goes_before_what_is_unclear_and_that_before_changes() {
        let code = |error, unclear, changes| Found { error, unclear, changes }.exit_code();
        for changes in [false, true] {
            assert_eq!([code(true, true, changes), code(true, false, changes)], [1, 1]);
            assert_eq!(code(false, true, changes), 3);
        }
        assert_eq!([code(false, false, true), code(false, false, false)], [2, 0]);
    }
}
