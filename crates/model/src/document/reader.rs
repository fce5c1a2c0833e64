//! A cursor over one table of a parsed document: typed getters that report what is wrong and go on.
//!
//! Which keys exist, their bounds and whether they must be there comes from [`KEYS`](super::keys::KEYS) alone. A getter
//! answers nothing both when a key is absent and when its value is wrong: the default then stands in while the other
//! problems are looked for, and the document is refused at the end.

use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::keys::{self, Absent, Key, Kind};
use super::value::{article, check_lines, check_text, one_of, out_of_bounds, shown, whole};
use crate::limits::Limits;
use crate::problem::{Problem, Report, Wrong, quote};
use crate::units;

/// A value, where it stands, and what the table of keys says of it.
#[derive(Clone, Copy)]
pub(super) struct Found<'t> {
    pub(super) key: &'static Key,
    pub(super) name: &'t str,
    pub(super) value: &'t DeValue<'t>,
    pub(super) offset: usize,
}

/// One item of a list, after its parser.
pub(super) struct Item<T> {
    pub(super) value: T,
    pub(super) nth: usize,
    pub(super) offset: usize,
}

/// The cursor.
pub(super) struct Reader<'r, 't> {
    pub(super) report: &'r mut Report,
    pub(super) limits: &'r Limits,
    path: String,
    offset: Option<usize>,
    found: Vec<Found<'t>>,
}

impl<'r, 't> Reader<'r, 't> {
    /// Opens `table`, which stands at `path` and has the keys below `pattern`. Unknown and missing keys are reported
    /// here.
    pub(super) fn open(
        report: &'r mut Report,
        limits: &'r Limits,
        path: String,
        pattern: &str,
        table: &'t DeTable<'t>,
        offset: Option<usize>,
    ) -> Self {
        let mut reader = Self {
            report,
            limits,
            path,
            offset,
            found: Vec::new(),
        };
        for (name, value) in table.iter() {
            let (at, name) = (name.span().start, name.get_ref().as_ref());
            match keys::child(pattern, name) {
                Some(key) => {
                    let offset = value.span().start;
                    // Tables that only their children's headers imply have no place of their own.
                    let offset = if offset == 0 { at } else { offset };
                    reader.found.push(Found {
                        key,
                        name,
                        value: value.get_ref(),
                        offset,
                    });
                }
                None => {
                    let path = reader.path_to(name);
                    reader.report.add(Some(at), || {
                        Problem::new(
                            path,
                            Wrong::new("unknown key", keys::unknown_help(pattern, name)),
                        )
                    });
                }
            }
        }
        for (name, key) in keys::children(pattern) {
            if key.default == Absent::Required && !table.contains_key(name) {
                reader.refuse(
                    name,
                    None,
                    Wrong::new("is missing", missing_help(name, key)),
                );
            }
        }
        reader
    }

    /// Reports `wrong` about the key `name`, at `offset` or else where the table begins.
    pub(super) fn refuse(&mut self, name: &str, offset: Option<usize>, wrong: Wrong) {
        let path = self.path_to(name);
        self.report
            .add(offset.or(self.offset), || Problem::new(path, wrong));
    }

    /// Reports `wrong` about this table.
    pub(super) fn refuse_table(&mut self, wrong: Wrong) {
        let path = self.path.clone();
        self.report.add(self.offset, || Problem::new(path, wrong));
    }

    /// Reports `wrong` about the entry `name` of the table `table` of this table.
    pub(super) fn refuse_in(&mut self, table: &str, name: &str, offset: usize, wrong: Wrong) {
        let path = format!("{}.{}", self.path_to(table), segment(name));
        self.report.add(Some(offset), || Problem::new(path, wrong));
    }

    /// Whether `name` stands here, and nobody has taken it yet.
    pub(super) fn has(&self, name: &str) -> bool {
        self.found.iter().any(|found| found.name == name)
    }

    /// Takes out the value of `name`; what nobody takes is a key that the program forgot, which [`Reader::close`] tells.
    pub(super) fn take(&mut self, name: &str) -> Option<Found<'t>> {
        let at = self.found.iter().position(|found| found.name == name)?;
        Some(self.found.swap_remove(at))
    }

    /// The value of `name`, left where it is.
    pub(super) fn peek(&self, name: &str) -> Option<Found<'t>> {
        self.found.iter().find(|found| found.name == name).copied()
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The names of all values that are left.
    pub(super) fn names(&self) -> Vec<&'t str> {
        self.found.iter().map(|found| found.name).collect()
    }

    /// Reports the list `name` if it is there and has no entry.
    pub(super) fn refuse_empty(&mut self, name: &str, help: &str) {
        if let Some(found) = self.peek(name)
            && found.value.as_array().is_some_and(|array| array.is_empty())
        {
            self.refuse(name, Some(found.offset), Wrong::new("is empty", help));
        }
    }

    /// The entries of the table `name`, whose names are the owner's, at most `most` of them.
    pub(super) fn open_pairs(&mut self, name: &str, most: usize) -> Vec<Found<'t>> {
        let Some(found) = self.take(name) else {
            return Vec::new();
        };
        let Some(table) = found.value.as_table() else {
            self.mismatch(found, "a table", "{ … }");
            return Vec::new();
        };
        if table.len() > most {
            let what = format!("has {} entries", table.len());
            self.refuse(
                name,
                Some(found.offset),
                Wrong::new(what, format!("at most {most}")),
            );
        }
        let entry = |(name, value): (&'t Spanned<DeString<'t>>, &'t Spanned<DeValue<'t>>)| Found {
            key: found.key,
            name: name.get_ref(),
            value: value.get_ref(),
            offset: name.span().start,
        };
        table.iter().take(most).map(entry).collect()
    }

    /// Takes out what is left, for tables whose names are the owner's.
    pub(super) fn take_all(&mut self) -> Vec<Found<'t>> {
        std::mem::take(&mut self.found)
    }

    /// Ends the reading of this table.
    pub(super) fn close(mut self) {
        for found in self.take_all() {
            self.refuse(
                found.name,
                Some(found.offset),
                Wrong::new("is known, but not read by this build", ""),
            );
        }
    }

    /// Where `name` stands.
    pub(super) fn path_to(&self, name: &str) -> String {
        let name = segment(name);
        if self.path.is_empty() {
            name
        } else {
            format!("{}.{name}", self.path)
        }
    }

    fn mismatch(&mut self, found: Found<'t>, wanted: &str, example: &str) {
        let what = format!(
            "{} is {}, not {wanted}",
            shown(found.value),
            article(found.value)
        );
        let help = if example.is_empty() {
            String::new()
        } else {
            format!("write {} = {example}", found.name)
        };
        self.refuse(found.name, Some(found.offset), Wrong::new(what, help));
    }

    /// The text of a value that was taken out.
    pub(super) fn text_of(&mut self, found: Found<'t>) -> Option<&'t str> {
        let limits = self.limits;
        self.text_that(found, |text| check_text(text, limits))
    }

    /// Text that may have several lines, and is neither blank nor longer than `most` bytes.
    pub(super) fn lines(&mut self, name: &str, most: usize) -> Option<String> {
        let found = self.take(name)?;
        let text = self.text_that(found, |text| match text.trim() {
            "" => Err(Wrong::new("is empty", missing_help(name, found.key))),
            _ => check_lines(text, most),
        })?;
        Some(text.to_owned())
    }

    fn text_that(
        &mut self,
        found: Found<'t>,
        check: impl FnOnce(&str) -> Result<(), Wrong>,
    ) -> Option<&'t str> {
        match found.value {
            DeValue::String(text) => match check(text) {
                Ok(()) => Some(text.as_ref()),
                Err(wrong) => {
                    self.refuse(found.name, Some(found.offset), wrong);
                    None
                }
            },
            other => {
                let example = match other {
                    DeValue::Table(_) | DeValue::Array(_) => String::new(),
                    _ => format!("{:?}", shown(other)),
                };
                self.mismatch(found, "text", &example);
                None
            }
        }
    }

    /// Text, as `parse` understands it.
    pub(super) fn parsed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let found = self.take(name)?;
        let text = self.text_of(found)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.refuse(name, Some(found.offset), wrong);
                None
            }
        }
    }

    /// A path in the file system; only that it is not empty is checked.
    pub(super) fn file(&mut self, name: &str) -> Option<PathBuf> {
        self.parsed(name, |text| match text {
            "" => Err(Wrong::new("is empty", "write the path of a file")),
            text => Ok(PathBuf::from(text)),
        })
    }

    /// One of the words that the table of keys has for `name`.
    pub(super) fn choice(&mut self, name: &str) -> Option<&'static str> {
        let found = self.take(name)?;
        let Kind::Choice(words) = found.key.kind else {
            return None;
        };
        let text = self.text_of(found)?;
        match one_of(text, words) {
            Ok(word) => Some(word),
            Err(wrong) => {
                self.refuse(name, Some(found.offset), wrong);
                None
            }
        }
    }

    /// Some of the words that the table of keys has for `name`.
    pub(super) fn words(&mut self, name: &str) -> Option<Vec<&'static str>> {
        let words = match self.peek(name)?.key.kind {
            Kind::Words(words) => words,
            _ => return None,
        };
        self.list(name, words.len(), |text| one_of(text, words))
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        let found = self.take(name)?;
        match found.value {
            DeValue::Boolean(flag) => Some(*flag),
            _ => {
                self.mismatch(found, "true or false", "true");
                None
            }
        }
    }

    /// A whole number within the bounds of the table of keys.
    pub(super) fn number<T: TryFrom<u64>>(&mut self, name: &str) -> Option<T> {
        let found = self.take(name)?;
        let Kind::Number(least, most) = found.key.kind else {
            return None;
        };
        self.whole_number(found, least, most)
    }

    /// A whole number, within these bounds, of a value that was taken out.
    pub(super) fn whole_number<T: TryFrom<u64>>(
        &mut self,
        found: Found<'t>,
        least: u64,
        most: u64,
    ) -> Option<T> {
        let DeValue::Integer(integer) = found.value else {
            let digits = found
                .value
                .as_str()
                .filter(|text| text.parse::<u64>().is_ok());
            self.mismatch(
                found,
                "a whole number",
                digits.filter(|text| text.len() <= 20).unwrap_or_default(),
            );
            return None;
        };
        let number = whole(integer).filter(|number| (least..=most).contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        if number.is_none() {
            let shown = shown(found.value);
            let wrong = out_of_bounds(&shown, least, most);
            self.refuse(found.name, Some(found.offset), wrong);
        }
        number
    }

    /// A duration within the bounds of the table of keys.
    pub(super) fn duration(&mut self, name: &str) -> Option<Duration> {
        let found = self.take(name)?;
        let Kind::Time(least, most) = found.key.kind else {
            return None;
        };
        if found.value.is_integer() {
            self.mismatch(found, "a duration", &format!("\"{}s\"", shown(found.value)));
            return None;
        }
        let text = self.text_of(found)?;
        let duration = units::duration(text).and_then(|duration| {
            if (least..=most).contains(&duration) {
                return Ok(duration);
            }
            Err(out_of_bounds(
                &quote(text),
                units::duration_text(least),
                units::duration_text(most),
            ))
        });
        duration
            .map_err(|wrong| self.refuse(name, Some(found.offset), wrong))
            .ok()
    }

    /// A size within the bounds of the table of keys.
    pub(super) fn size(&mut self, name: &str) -> Option<u64> {
        let found = self.take(name)?;
        let Kind::Size(least, most) = found.key.kind else {
            return None;
        };
        if found.value.is_integer() {
            self.mismatch(found, "a size", &format!("\"{}B\"", shown(found.value)));
            return None;
        }
        let text = self.text_of(found)?;
        let size = units::size(text).and_then(|size| {
            if (least..=most).contains(&size) {
                return Ok(size);
            }
            Err(out_of_bounds(
                &quote(text),
                units::size_text(least),
                units::size_text(most),
            ))
        });
        size.map_err(|wrong| self.refuse(name, Some(found.offset), wrong))
            .ok()
    }

    /// A list of texts, each as `parse` understands it, with their places. What is wrong is left out.
    pub(super) fn items<T>(
        &mut self,
        name: &str,
        most: usize,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<Vec<Item<T>>> {
        self.items_of(name, most, |value| match value {
            DeValue::String(text) => parse(text),
            other => Err(Wrong::new(
                format!("{} is {}, not text", shown(other), article(other)),
                "",
            )),
        })
    }

    /// A list of values, each as `parse` understands it.
    pub(super) fn items_of<T>(
        &mut self,
        name: &str,
        most: usize,
        parse: impl Fn(&DeValue<'t>) -> Result<T, Wrong>,
    ) -> Option<Vec<Item<T>>> {
        let found = self.take(name)?;
        let values = self.array(found, most)?;
        let mut items = Vec::with_capacity(values.len());
        for (nth, value) in values.iter().enumerate().take(most) {
            let offset = value.span().start;
            let value = value.get_ref();
            let checked = value
                .as_str()
                .map_or(Ok(()), |text| check_text(text, self.limits));
            match checked.and_then(|()| parse(value)) {
                Ok(value) => items.push(Item { value, nth, offset }),
                Err(wrong) => self.refuse(&format!("{name}[{nth}]"), Some(offset), wrong),
            }
        }
        Some(items)
    }

    /// A list of texts, each as `parse` understands it.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        most: usize,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<Vec<T>> {
        Some(
            self.items(name, most, parse)?
                .into_iter()
                .map(|item| item.value)
                .collect(),
        )
    }

    fn array(&mut self, found: Found<'t>, most: usize) -> Option<&'t [Spanned<DeValue<'t>>]> {
        let Some(array) = found.value.as_array() else {
            let example = found
                .value
                .as_str()
                .map(|text| format!("[{}]", quote(text)))
                .unwrap_or_default();
            self.mismatch(found, "a list", &example);
            return None;
        };
        if array.len() > most {
            let what = format!("has {} entries", array.len());
            self.refuse(
                found.name,
                Some(found.offset),
                Wrong::new(what, format!("at most {most}")),
            );
        }
        Some(array.as_ref())
    }

    /// A reader for the table `name`.
    pub(super) fn table(&mut self, name: &str) -> Option<Reader<'_, 't>> {
        let found = self.take(name)?;
        self.table_of(found)
    }

    /// A reader for a table that was taken out.
    pub(super) fn table_of(&mut self, found: Found<'t>) -> Option<Reader<'_, 't>> {
        let Some(table) = found.value.as_table() else {
            self.mismatch(found, "a table", "{ … }");
            return None;
        };
        let path = self.path_to(found.name);
        Some(Reader::open(
            &mut *self.report,
            self.limits,
            path,
            found.key.path,
            table,
            Some(found.offset),
        ))
    }

    /// Reads each table of the list `name` by `read`; what is no table keeps its place, by its default. The tables at
    /// the top of the file are the zones: what is reported meanwhile is theirs.
    pub(super) fn tables<T: Default>(
        &mut self,
        name: &str,
        most: usize,
        mut read: impl FnMut(Reader<'_, 't>) -> T,
    ) -> Option<Vec<T>> {
        let found = self.take(name)?;
        if found.value.is_table() {
            let header = found.key.path.replace("[].", ".");
            let help = format!("write [[{header}]], or {name} = [{{ … }}]");
            self.refuse(
                name,
                Some(found.offset),
                Wrong::new("is one table, not a list of tables", help),
            );
            return None;
        }
        let values = self.array(found, most)?;
        let pattern = format!("{}[]", found.key.path);
        let mut items = Vec::with_capacity(values.len().min(most));
        for (nth, value) in values.iter().enumerate().take(most) {
            let offset = value.span().start;
            let numbered = format!("{name}[{nth}]");
            if self.path.is_empty() {
                self.report.turn_to(Some(nth));
            }
            let Some(table) = value.get_ref().as_table() else {
                let what = format!(
                    "{} is {}, not a table",
                    shown(value.get_ref()),
                    article(value.get_ref())
                );
                self.refuse(&numbered, Some(offset), Wrong::new(what, "write { … }"));
                items.push(T::default());
                continue;
            };
            let path = self.path_to(&numbered);
            let reader = Reader::open(
                &mut *self.report,
                self.limits,
                path,
                &pattern,
                table,
                Some(offset),
            );
            items.push(read(reader));
        }
        if self.path.is_empty() {
            self.report.turn_to(None);
        }
        Some(items)
    }
}

/// One step of a path; names that need it are quoted.
fn segment(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_[]".contains(&byte);
    let plain = !name.is_empty() && name.len() <= 64 && name.bytes().all(bare);
    if plain { name.to_owned() } else { quote(name) }
}

/// Puts a value in its place if there is one.
pub(super) fn put<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn missing_help(name: &str, key: &Key) -> String {
    match name {
        "schema" => "write schema = 1 as the first line".into(),
        _ => key.what.trim_end_matches('.').to_owned(),
    }
}
