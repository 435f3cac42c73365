//! The programs.

/// Inlining two deep, a part that is never run, an alias, a label.
pub const C: &str = r#"
#include <stdio.h>
#include <stdlib.h>
static inline __attribute__((always_inline)) int twice(int n) { return n * 2 + rand(); }
static inline __attribute__((always_inline)) int four_times(int n) { return twice(twice(n)); }
__attribute__((noinline)) static int local(int n) { return four_times(n) + 1; }
__attribute__((noinline)) int unlikely(int n) {
    if (__builtin_expect(n == 77, 0)) { puts("rare"); abort(); }
    return local(n) + four_times(n + 1);
}
int data[100];
int main(int count, char **arguments) {
    for (int at = 0; at < count; at++) data[at] = unlikely(at);
    return data[count - 1];
}
"#;

/// Templates, lambdas, operators, names without a namespace's name.
pub const CPP: &str = r#"
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>
namespace space {
namespace { struct Hidden { int n; __attribute__((noinline)) int get() const { return n + 1; } }; }
template <typename T> struct Holder {
    std::vector<T> all;
    Holder &operator+=(T one) { all.push_back(one); return *this; }
    __attribute__((noinline)) T sum() const {
        T total{};
        std::for_each(all.begin(), all.end(), [&](const T &one) { total += one; });
        return total;
    }
    virtual ~Holder() {}
};
static int local(const std::map<std::string, int> &all) { return (int)all.count("a"); }
}
int main(int count, char **arguments) {
    space::Holder<long> numbers;
    space::Holder<std::string> texts;
    std::map<std::string, int> known;
    for (int at = 0; at < count; at++) { numbers += at; texts += arguments[at]; known[arguments[at]] = at; }
    auto hidden = std::make_unique<space::Hidden>();
    return (int)numbers.sum() + (int)texts.sum().size() + space::local(known) + hidden->get();
}
"#;

/// Generic functions, closures, methods of traits.
pub const RUST: &str = r#"
use std::collections::HashMap;
trait Shape { fn area(&self) -> f64; }
struct Square(f64);
impl Shape for Square { #[inline(never)] fn area(&self) -> f64 { self.0 * self.0 } }
#[inline(never)]
fn count<T: std::hash::Hash + Eq>(all: impl Iterator<Item = T>) -> HashMap<T, usize> {
    let mut counts = HashMap::new();
    all.for_each(|one| *counts.entry(one).or_default() += 1);
    counts
}
fn main() {
    let shapes: Vec<Box<dyn Shape>> = (0..std::env::args().count()).map(|n| Box::new(Square(n as f64)) as _).collect();
    let counts = count(shapes.iter().map(|shape| shape.area() as u64));
    println!("{}", counts.len());
}
"#;
