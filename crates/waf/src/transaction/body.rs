//! Reading the request's body, by whoever its type or a rule names.

use seawall_model::{Fuel, Spent};

use super::store::Value;
use super::{Item, Transaction};
use crate::body::{Bounds, Sink, json, multipart, xml};
use crate::request::header;
use crate::seclang::tree::{Over, Processor};
use crate::texts::TextId;
use crate::vocabulary::Variable as V;

/// Units for each byte that a parser reads.
const BYTE: u64 = 4;

impl Transaction<'_> {
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
        let bytes = self.body.bytes;
        // Nothing is in nothing, whatever type it says it has: clients name the one of multipart/form-data without a body too.
        if bytes.is_empty() {
            return Ok(());
        }
        fuel.spend(BYTE * bytes.len() as u64)?;
        let bounds = Bounds {
            count: settings.arguments.max(1).saturating_mul(2),
            depth: settings.json_depth,
            files: settings.uploads,
        };
        match self.processor {
            None => {}
            Some(Processor::UrlEncoded) => {
                self.url_error |= self.read_pairs(bytes, V::ArgsPost);
            }
            Some(Processor::Json) => {
                let mut sink = self.arguments(V::ArgsPost);
                let read = json::read(bytes, bounds, &mut sink);
                self.put_back(V::ArgsPost, sink);
                self.note(read);
            }
            Some(Processor::Xml) => {
                let bounds = Bounds {
                    count: 100_000,
                    ..bounds
                };
                let (found, read) = xml::read(bytes, bounds);
                let text = self.made(b"/*", &found.text);
                let mut items = vec![text];
                for attribute in &found.attributes {
                    items.push(self.made(b"//@*", attribute));
                }
                self.put(V::Xml, items);
                // This one is wrong however little of the body is there.
                if read == Err(xml::ENTITIES) {
                    self.body_error.get_or_insert(xml::ENTITIES);
                }
                self.note(read);
            }
            Some(Processor::Multipart) => self.read_multipart(bounds),
        }
        Ok(())
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
            *place = items;
        }
    }

    fn read_multipart(&mut self, bounds: Bounds) {
        let kind = header(self.request.headers, b"content-type").unwrap_or_default();
        let (found, read) = multipart::read(kind, self.body.bytes, bounds);
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
        self.part_sizes = sizes;
        self.flags = Some(found.flags);
        self.note(read);
    }
}
