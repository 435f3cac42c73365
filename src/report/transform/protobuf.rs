//! As much of protobuf's wire format as pprof needs: numbers, bytes and lists of numbers.
//!
//! ```text
//!  (field << 3 | 0) value               a varint
//!  (field << 3 | 2) length bytes        text, a message, or varints one behind the other
//! ```
//!
//! See <https://protobuf.dev/programming-guides/encoding/>.

const VARINT: u32 = 0;
const BYTES: u32 = 2;

/// A message that grows at its end.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// Its encoding.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Makes it empty, with its room.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// A number. Zero is what a reader takes for one that is not there.
    pub fn number(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.key(field, VARINT);
            self.varint(value);
        }
    }

    /// Text.
    pub fn text(&mut self, field: u32, text: &str) {
        self.chunk(field, text.as_bytes());
    }

    /// A message in this one.
    pub fn message(&mut self, field: u32, inner: &Message) {
        self.chunk(field, &inner.bytes);
    }

    /// A list of numbers.
    pub fn numbers(&mut self, field: u32, values: impl Iterator<Item = u64>) {
        let mut packed = Message::default();
        values.for_each(|value| packed.varint(value));
        self.message(field, &packed);
    }

    fn chunk(&mut self, field: u32, bytes: &[u8]) {
        self.key(field, BYTES);
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    fn key(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from(field << 3 | wire_type));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the format's description.
    #[test]
    fn examples() {
        let mut message = Message::default();
        message.number(1, 150);
        message.text(2, "testing");
        message.numbers(6, [3, 270, 86942].into_iter());
        message.number(7, 0);
        let expected = [
            &[0x08, 0x96, 0x01][..],
            &[0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67],
            &[0x32, 0x06, 0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05],
        ];
        assert_eq!(message.bytes(), expected.concat());
    }
}
