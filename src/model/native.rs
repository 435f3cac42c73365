//! What is known of native code: the modules that frames name, and what is at a place in one.

use serde::{Deserialize, Serialize};

use super::CodeId;

/// A module, as it was loaded once. A file that is loaded again is another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NativeModule {
    /// Counts the modules of a recording, from 1 on.
    pub id: u32,
    /// As the target names it.
    pub path: String,
    /// In hexadecimal; empty if it has none.
    pub build_id: String,
    /// What is added to the file's addresses.
    pub load_bias: u64,
    /// Its executable parts in the target: first address and the one behind the last.
    pub text: Vec<(u64, u64)>,
    /// When it was seen first, ns since the start.
    pub began_ns: u64,
    /// When it was seen to be gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_ns: Option<u64>,
    /// Unwind rows.
    pub rows: u64,
    /// Why it has none, if so.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub problem: String,
}

/// In the code of a frame: it is native, and the rest is the module's id.
const NATIVE: u32 = 1 << 31;

impl CodeId {
    /// The code of native frames in a module.
    pub const fn native(module: u32) -> CodeId {
        CodeId(NATIVE | module)
    }

    /// The module, if it is a native frame's.
    pub const fn module(self) -> Option<u32> {
        if self.0 & NATIVE == 0 { None } else { Some(self.0 & !NATIVE) }
    }
}

/// What is at an address of a module's file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NativePlace {
    /// The module's id.
    pub module: u32,
    /// The address.
    pub offset: u32,
    /// The function, after those that were compiled into it, innermost first.
    pub functions: Vec<NativeFunction>,
}

/// A function, and where in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NativeFunction {
    /// Its name, as people write it.
    pub name: String,
    /// The source file; empty if it is not known.
    pub file: String,
    /// From 1 on; 0 if it is not known.
    pub line: u32,
}
