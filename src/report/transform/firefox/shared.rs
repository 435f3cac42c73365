//! What threads share: texts, files, functions, frames and stacks, by column.

use hashbrown::HashMap;
use serde::Serialize;

use crate::report::transform::plain;
use crate::report::transform::tree::Tree;

/// Texts and their numbers.
#[derive(Default)]
pub(super) struct Texts {
    all: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Texts {
    pub fn number(&mut self, text: String) -> u32 {
        *self.numbers.entry(text).or_insert_with_key(|text| {
            self.all.push(text.clone());
            self.all.len() as u32 - 1
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shared<'f> {
    string_array: &'f [String],
    sources: Sources,
    stack_table: Stacks,
    frame_table: Frames,
    func_table: Functions,
    resource_table: Resources,
    native_symbols: NativeSymbols,
}

#[derive(Default, Serialize)]
struct Sources {
    length: usize,
    uuid: Vec<Option<u32>>,
    filename: Vec<u32>,
}

#[derive(Serialize)]
struct Stacks {
    length: usize,
    frame: Vec<u32>,
    prefix: Vec<Option<u32>>,
}

/// Places.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Frames {
    length: usize,
    address: Vec<i32>,
    inline_depth: Vec<u32>,
    category: Vec<u32>,
    subcategory: Vec<u32>,
    func: Vec<u32>,
    native_symbol: Vec<Option<u32>>,
    #[serde(rename = "innerWindowID")]
    inner_window_id: Vec<Option<u32>>,
    line: Vec<Option<u32>>,
    column: Vec<Option<u32>>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Functions {
    length: usize,
    name: Vec<u32>,
    #[serde(rename = "isJS")]
    is_js: Vec<bool>,
    #[serde(rename = "relevantForJS")]
    relevant_for_js: Vec<bool>,
    resource: Vec<i32>,
    source: Vec<Option<u32>>,
    line_number: Vec<Option<u32>>,
    column_number: Vec<Option<u32>>,
}

/// Libraries and the like; there are none.
#[derive(Default, Serialize)]
struct Resources {
    length: usize,
    lib: [(); 0],
    name: [(); 0],
    host: [(); 0],
    r#type: [(); 0],
}

/// There are none.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct NativeSymbols {
    length: usize,
    lib_index: [(); 0],
    address: [(); 0],
    name: [(); 0],
    function_size: [(); 0],
}

impl<'f> Shared<'f> {
    pub fn new(tree: &Tree<'_, '_>, texts: &mut Texts) -> Shared<'static> {
        let mut sources = Sources::default();
        let mut functions = Functions::default();
        let mut source_numbers: HashMap<&str, u32> = HashMap::new();
        let mut function_numbers: HashMap<(&str, &str), u32> = HashMap::new();
        let mut func = Vec::new();
        for place in tree.places() {
            let function = *function_numbers.entry((&place.function, place.file)).or_insert_with(|| {
                let source = (!place.file.is_empty()).then(|| {
                    *source_numbers
                        .entry(place.file)
                        .or_insert_with(|| sources.add(texts.number(plain(place.file))))
                });
                functions.add(texts.number(plain(&place.function)), source)
            });
            func.push(function);
        }
        let line = tree.places().iter().map(|place| (place.line > 0).then_some(place.line));
        Shared {
            string_array: &[],
            sources,
            stack_table: Stacks {
                length: tree.nodes().len(),
                frame: tree.nodes().iter().map(|node| node.place).collect(),
                prefix: tree.nodes().iter().map(|node| node.parent).collect(),
            },
            frame_table: Frames::new(func, line.collect()),
            func_table: functions,
            resource_table: Resources::default(),
            native_symbols: NativeSymbols::default(),
        }
    }

    /// With the texts that it has numbers of.
    pub fn with(self, texts: &'f Texts) -> Shared<'f> {
        Shared { string_array: &texts.all, ..self }
    }
}

impl Sources {
    fn add(&mut self, filename: u32) -> u32 {
        self.uuid.push(None);
        self.filename.push(filename);
        self.length += 1;
        self.length as u32 - 1
    }
}

impl Functions {
    fn add(&mut self, name: u32, source: Option<u32>) -> u32 {
        self.name.push(name);
        self.is_js.push(false);
        self.relevant_for_js.push(false);
        self.resource.push(-1);
        self.source.push(source);
        self.line_number.push(None);
        self.column_number.push(None);
        self.length += 1;
        self.length as u32 - 1
    }
}

impl Frames {
    fn new(func: Vec<u32>, line: Vec<Option<u32>>) -> Frames {
        let length = func.len();
        Frames {
            length,
            address: vec![-1; length],
            inline_depth: vec![0; length],
            category: vec![0; length],
            subcategory: vec![0; length],
            func,
            native_symbol: vec![None; length],
            inner_window_id: vec![None; length],
            line,
            column: vec![None; length],
        }
    }
}
