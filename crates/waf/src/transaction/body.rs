//! Reading the request's body, by whoever its type or a rule names.

use std::borrow::Cow;

use seawall_model::{Fuel, Spent};

use super::store::Value;
use super::{Item, Transaction};
use crate::body::{Bounds, Sink, coded, json, multipart, xml};
use crate::request::header;
use crate::seclang::tree::{Over, Processor};
use crate::texts::TextId;
use crate::vocabulary::Variable as V;

/// Units for each byte that a parser reads.
const BYTE: u64 = 4;

impl<'t> Transaction<'t> {
    /// Who reads bodies of the request's type.
    pub(super) fn processor_of_type(&self) -> Option<Processor> {
        let value = header(self.request.headers, b"content-type")?;
        let kind = value
            .split(|byte| matches!(byte, b';' | b',') || byte.is_ascii_whitespace())
            .next()?
            .to_ascii_lowercase();
        match kind.as_slice() {
            b"application/x-www-form-urlencoded" => Some(Processor::UrlEncoded),
            b"multipart/form-data" => Some(Processor::Multipart),
            b"application/json" => Some(Processor::Json),
            b"text/xml" | b"application/xml" => Some(Processor::Xml),
            other if other.starts_with(b"application/") && other.ends_with(b"+json") => {
                Some(Processor::Json)
            }
            other if other.starts_with(b"application/") && other.ends_with(b"+xml") => {
                Some(Processor::Xml)
            }
            _ => None,
        }
    }

    /// Reads the body into variables.
    pub(super) fn read_body(&mut self, fuel: &mut Fuel) -> Result<(), Spent> {
        let settings = &self.program.settings;
        if !self.reads_body {
            self.body.bytes = &[];
            return Ok(());
        }
        if self.body.bytes.len() > settings.request_limit {
            self.body.bytes = self
                .body
                .bytes
                .get(..settings.request_limit)
                .unwrap_or_default();
            self.body.cut = true;
        }
        if self.body.cut && settings.request_over == Over::Reject && !self.partial {
            self.body_error = Some("the body is longer than what is inspected");
        }
        let bounds = Bounds {
            count: settings.arguments.max(1).saturating_mul(2),
            depth: settings.json_depth,
            files: settings.uploads,
        };
        let most = settings.request_limit;
        self.read_plain(bounds, fuel)?;
        for coded in self.readings.iter().copied() {
            fuel.spend(BYTE * coded.len() as u64)?;
            self.read_coded(coded.get(..most).unwrap_or(coded), bounds);
        }
        Ok(())
    }

    fn read_plain(&mut self, bounds: Bounds, fuel: &mut Fuel) -> Result<(), Spent> {
        let bytes = self.body.bytes;
        // Nothing is in nothing, whatever type it says it has: clients name the one of multipart/form-data without a body too.
        if bytes.is_empty() {
            return Ok(());
        }
        fuel.spend(BYTE * bytes.len() as u64)?;
        match self.processor {
            None => {}
            Some(Processor::UrlEncoded) => {
                self.url_error |= self.read_pairs(bytes, V::ArgsPost);
            }
            Some(Processor::Json) => {
                let read = self.read_json(bytes, bounds);
                self.note(read);
            }
            Some(Processor::Xml) => {
                let mut read = self.read_xml(bytes, bounds, false);
                if self.has_other_charset() {
                    read = Err(xml::ENCODING);
                }
                // These are wrong however little of the body is there.
                if let Err(what @ (xml::ENTITIES | xml::ENCODING)) = read {
                    self.body_error.get_or_insert(what);
                }
                self.note(read);
            }
            Some(Processor::Multipart) => {
                let (flags, read) = self.read_parts(bytes, bounds);
                self.flags = Some(flags);
                self.note(read);
            }
        }
        Ok(())
    }

    /// Takes in what is found by those who pass the body's coding over. What is wrong with it for them is mostly that it is coded.
    fn read_coded(&mut self, bytes: &[u8], bounds: Bounds) {
        match self.processor {
            None => {}
            Some(Processor::UrlEncoded) => {
                let mut sink = self.arguments(V::ArgsPost);
                coded::fields(bytes, self.program.settings.separator, &mut sink);
                self.put_back(V::ArgsPost, sink);
            }
            Some(Processor::Json) => {
                // It ends at the first byte that cannot be there, which mostly is the first of all.
                let _mostly_wrong = self.read_json(bytes, bounds);
            }
            Some(Processor::Xml) => {
                let _mostly_wrong = self.read_xml(bytes, bounds, true);
            }
            Some(Processor::Multipart) => {
                let (flags, read) = self.read_parts(bytes, bounds);
                // A line that is a boundary is none by chance.
                if flags.invalid_part {
                    self.note(read);
                }
            }
        }
    }

    /// The body as one text, where it is one; with all its readings where nobody takes it apart.
    pub(super) fn body_text(&self) -> Option<Cow<'t, [u8]>> {
        if self.phase < 2 || !self.reads_body {
            return None;
        }
        let bytes = self.body.bytes;
        match self.processor {
            None if !self.readings.is_empty() => {
                let mut all = vec![bytes];
                all.extend(self.readings);
                Some(Cow::Owned(all.join(&b'\n')))
            }
            None | Some(Processor::UrlEncoded) if !bytes.is_empty() => Some(Cow::Borrowed(bytes)),
            _ => None,
        }
    }

    /// Whether the request says that its body has an encoding that is not read.
    fn has_other_charset(&self) -> bool {
        let mut headers = self.request.headers.iter();
        headers.any(|(name, value)| {
            name.eq_ignore_ascii_case(b"content-type") && xml::has_other_charset(value)
        })
    }

    fn read_json(&mut self, bytes: &[u8], bounds: Bounds) -> Result<(), &'static str> {
        let mut sink = self.arguments(V::ArgsPost);
        let read = json::read(bytes, bounds, &mut sink);
        self.put_back(V::ArgsPost, sink);
        read
    }

    /// `only_whole`: nothing is taken in where anything is wrong.
    fn read_xml(
        &mut self,
        bytes: &[u8],
        bounds: Bounds,
        only_whole: bool,
    ) -> Result<(), &'static str> {
        let bounds = Bounds {
            count: 100_000,
            ..bounds
        };
        let (found, read) = xml::read(bytes, bounds);
        if read.is_ok() || !only_whole {
            let text = self.made(b"/*", &found.text);
            let mut items = vec![text];
            for attribute in &found.attributes {
                items.push(self.made(b"//@*", attribute));
            }
            self.put(V::Xml, items);
        }
        read
    }

    fn note(&mut self, read: Result<(), &'static str>) {
        // What was cut off cannot be whole.
        if let Err(what) = read
            && !self.body.cut
        {
            self.body_error.get_or_insert(what);
        }
    }

    fn made(&mut self, name: &[u8], value: &[u8]) -> Item {
        Item {
            name: self.work.texts.add(name),
            value: Value::Text(self.work.texts.add(value)),
        }
    }

    fn put(&mut self, variable: V, items: Vec<Item>) {
        if let Some(place) = self.work.items.get_mut(variable as usize) {
            place.extend(items);
        }
    }

    fn read_parts(
        &mut self,
        bytes: &[u8],
        bounds: Bounds,
    ) -> (multipart::Flags, Result<(), &'static str>) {
        let kind = header(self.request.headers, b"content-type").unwrap_or_default();
        let (found, read) = multipart::read(kind, bytes, bounds);
        let mut arguments = self.arguments(V::ArgsPost);
        for part in found.parts.iter().filter(|part| part.is_argument()) {
            arguments.argument(&part.name, part.body);
        }
        self.put_back(V::ArgsPost, arguments);
        let (mut files, mut headers, mut names, mut filenames) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut sizes: Vec<(TextId, usize)> = Vec::new();
        for part in &found.parts {
            for header in &part.headers {
                headers.push(self.made(&part.name, header));
            }
            if let Some(file) = &part.file {
                let item = self.made(&part.name, file);
                sizes.push((item.name, part.body.len()));
                files.push(item);
                filenames.push(item);
                // Readers take one or the other.
                let other = part.extended.as_ref();
                if let Some(other) = other.filter(|other| *other != file) {
                    let item = self.made(&part.name, other);
                    files.push(item);
                    filenames.push(item);
                }
                names.push(Item {
                    name: item.name,
                    value: Value::Text(item.name),
                });
            }
        }
        self.put(V::Files, files);
        self.put(V::MultipartPartHeaders, headers);
        self.put(V::MultipartName, names);
        self.put(V::MultipartFilename, filenames);
        self.part_sizes.extend(sizes);
        (found.flags, read)
    }
}
