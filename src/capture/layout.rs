//! Notices when the code that defines the file's layout changes.

/// The code whose meaning is in files, and where its version is described.
const DEFINING: [&str; 13] = [
    include_str!("format.rs"),
    include_str!("piece.rs"),
    include_str!("columns.rs"),
    include_str!("code_block.rs"),
    include_str!("aggregate.rs"),
    include_str!("../analysis/totals.rs"),
    include_str!("../analysis/sampled.rs"),
    include_str!("index.rs"),
    include_str!("../model/recording.rs"),
    include_str!("../../payload/shared/src/record.rs"),
    include_str!("../../payload/shared/src/fields.rs"),
    include_str!("../../payload/shared/src/kind.rs"),
    include_str!("../../payload/shared/src/varint.rs"),
];
const DESCRIPTION: &str = include_str!("../../ARCHITECTURE.md");

/// The code before its tests, without comments and spaces.
fn essence(source: &str) -> impl Iterator<Item = char> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(str::chars).filter(|c| !c.is_whitespace())
}

#[test]
fn the_description_is_of_this_layout() {
    let code: String = DEFINING.into_iter().flat_map(essence).collect();
    let mark = format!("<!-- layout: {:08x} -->", crc32fast::hash(code.as_bytes()));
    assert!(
        DESCRIPTION.contains(&mark),
        "the layout may have changed: bring the description, VERSION and the golden captures up to date, then \
         put {mark} into the description"
    );
}
