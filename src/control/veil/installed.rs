//! Generated files as they are installed: somebody may have written anything into them by hand (G1). A file that is as this
//! look writes it stays as it is and plans empty; of any other, the lines that this look writes as well stay, and the rest
//! are keyed hashes, so that it goes on to differ.

use std::collections::{BTreeMap, BTreeSet};

use crate::control::pass::files_for;
use crate::endpoints::Exceptions;
use crate::model::desired::Desired;
use crate::model::file::{FileSet, Files};
use crate::model::observed::{Observed, Seen};
use crate::model::ownership::Owner;

/// Both formats have such comments, and no file of trueup's ends with this one.
const MARK: &str = "\n# kept whole\n";

/// What a look writes by itself. What it only keeps because it can't write it (E1, A1) is not its own: such a file comes
/// back with the mark that was put below it.
pub fn written_here(
    desired: &Desired,
    observed: &Observed,
    owner: &Owner,
    exceptions: &Exceptions,
) -> BTreeMap<FileSet, Files> {
    let mut marked = observed.clone();
    for seen in marked.files.values_mut() {
        if let Seen::Known(Some(files)) = seen {
            files.values_mut().for_each(|text| text.push_str(MARK));
        }
    }
    let mut sets = files_for(desired, &marked, owner, exceptions).sets;
    sets.values_mut().for_each(|files| files.retain(|_, text| !text.ends_with(MARK)));
    sets
}

/// What stays of a file that is kept whole is nothing: whoever replays it keeps it as it stands here.
pub(super) fn hide(files: &mut Files, written: Option<&Files>, hide: &dyn Fn(&mut String)) {
    for (name, text) in files {
        let written: BTreeSet<&str> =
            written.and_then(|files| files.get(name)).into_iter().flat_map(|text| text.split('\n')).collect();
        let lines = text.split('\n').map(|line| {
            let mut line = line.to_owned();
            if !written.contains(line.as_str()) {
                hide(&mut line);
            }
            line
        });
        *text = lines.collect::<Vec<_>>().join("\n");
    }
}
