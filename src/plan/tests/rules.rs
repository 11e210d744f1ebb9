//! One rule at a time, on fleets small enough to read.
