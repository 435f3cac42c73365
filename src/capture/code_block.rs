//! The body of a codes block: code objects, one after the other.
//!
//! ```text
//!  code*    code = id first-line name qualified-name file line-table
//!           id, first-line = LEB128    texts = LEB128 length, bytes (UTF-8 but for the table)
//! ```

use prof_shared::varint;

use crate::model::{CodeId, CodeObject};

/// Appends one code object.
pub(super) fn put(code: &CodeObject, out: &mut Vec<u8>) {
    number(u64::from(code.id.0), out);
    number(u64::from(code.first_line), out);
    text(code.name.as_bytes(), out);
    text(code.qualified_name.as_bytes(), out);
    text(code.file.as_bytes(), out);
    text(&code.line_table, out);
}

/// Takes one code object off the front; `None` if it is malformed.
pub(super) fn take(bytes: &mut &[u8]) -> Option<CodeObject> {
    Some(CodeObject {
        id: CodeId(take_number(bytes)?.try_into().ok()?),
        first_line: take_number(bytes)?.try_into().ok()?,
        name: take_string(bytes)?,
        qualified_name: take_string(bytes)?,
        file: take_string(bytes)?,
        line_table: take_text(bytes)?.to_vec(),
    })
}

fn take_string(bytes: &mut &[u8]) -> Option<String> {
    take_text(bytes).map(|text| String::from_utf8_lossy(text).into_owned())
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(bytes)?).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(text)
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends an LEB128 integer.
pub(super) fn number(value: u64, out: &mut Vec<u8>) {
    let mut buffer = [0; varint::MAX_LEN];
    let length = varint::encode(value, &mut buffer);
    out.extend_from_slice(&buffer[..length]);
}

/// Takes an LEB128 integer off the front.
pub(super) fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let (value, length) = varint::decode(bytes)?;
    *bytes = &bytes[length..];
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_and_cuts_are_noticed() {
        let code = CodeObject {
            id: CodeId(300),
            first_line: 12,
            name: "f".into(),
            qualified_name: "C.f".into(),
            file: "/a/ü.py".into(),
            line_table: vec![0x80, 0xff, 0],
        };
        let mut body = Vec::new();
        put(&code, &mut body);
        put(&CodeObject::default(), &mut body);
        let mut rest = &body[..];
        assert_eq!(take(&mut rest), Some(code));
        let second = body.len() - rest.len();
        assert_eq!(take(&mut rest), Some(CodeObject::default()));
        assert!(rest.is_empty());
        for cut in 0..second {
            assert_eq!(take(&mut &body[..cut]), None, "{cut}");
        }
    }
}
