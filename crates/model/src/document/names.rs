//! What a zone names that is not in its document: files, and lists.

use std::path::PathBuf;

use super::lists::ListRef;
use super::zone::{Certificate, Zone};

impl Zone {
    /// The files that it names, in a fixed order.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let own = match &self.tls.certificate {
            Certificate::Files(files) => [Some(&files.cert), Some(&files.key)],
            Certificate::SelfSigned | Certificate::Acme => [None, None],
        };
        let origins = self.origins.iter().flat_map(|origin| {
            let ours = origin.client_certificate.iter();
            let ours = ours.flat_map(|files| [&files.cert, &files.key]);
            origin.ca.iter().chain(ours)
        });
        let own = own.into_iter().flatten();
        own.chain(&self.tls.client_ca)
            .chain(&self.maintenance.page)
            .chain(origins)
    }

    /// As [`Zone::files`], to be changed.
    pub(super) fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let own = match &mut self.tls.certificate {
            Certificate::Files(files) => [Some(&mut files.cert), Some(&mut files.key)],
            Certificate::SelfSigned | Certificate::Acme => [None, None],
        };
        let origins = self.origins.iter_mut().flat_map(|origin| {
            let ours = origin.client_certificate.iter_mut();
            let ours = ours.flat_map(|files| [&mut files.cert, &mut files.key]);
            origin.ca.iter_mut().chain(ours)
        });
        let own = own.into_iter().flatten();
        own.chain(&mut self.tls.client_ca)
            .chain(&mut self.maintenance.page)
            .chain(origins)
    }

    /// The lists that it names beside its rules' conditions, which their compiler looks at.
    pub fn list_names(&self) -> impl Iterator<Item = &str> {
        let lists = [
            &self.lists.block,
            &self.lists.allow,
            &self.lists.only,
            &self.maintenance.allow,
        ];
        lists.into_iter().flatten().filter_map(|list| match list {
            ListRef::Named(name) => Some(name.as_str()),
            ListRef::Network(_) => None,
        })
    }
}
