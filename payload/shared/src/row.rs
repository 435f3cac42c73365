//! Rows of an unwind table and their execution.
